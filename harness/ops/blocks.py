"""What are a transformer's layers made of? Projections around attention; it, a network of two layers, and norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import StrictBool

from isograd.arithmetic.words import concat, sum
from isograd.ops.activations import Gelu, Relu
from isograd.ops.attention import Attention
from isograd.ops.joins import Add
from isograd.ops.linear import Linear, rows_of
from isograd.ops.normalisation import LayerNorm
from isograd.ops.op import Array, Back, Draw, Layer, Out, Param, Shape
from isograd.spec import Count, NotNegative

Params = Mapping[str, Array]

SMALL = {"draw": "normal", "scale": 0.2}  # a residual stream of larger ones runs away within a few steps
DRAWN = {"weight": SMALL, "bias": SMALL}


class MultiHeadAttention(Layer):
    """a = attention(x W_qᵀ + b_q, m W_kᵀ + b_k, m W_vᵀ + b_v) W_oᵀ + b_o, of E features in ``heads`` heads.

    Vaswani et al., *Attention is all you need* (2017), section 3.2.2. With one input m is x, with two it is the second,
    the memory. W_q, W_k and W_v stand one below the other in ``in_proj_weight`` (3 E, E).
    """

    kind: Literal["multi_head_attention"]
    arity: ClassVar[tuple[int, int]] = (1, 2)
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (3, 4)
    examples = (DRAWN, {**DRAWN, "heads": 2}, {**DRAWN, "causal": True})

    weight: Draw
    bias: Draw
    heads: Count = 1
    causal: StrictBool = False

    @property
    def inner(self) -> Attention:
        """What is between the projections."""
        return Attention(kind="attention", name="inner", heads=self.heads, causal=self.causal)

    def shape(self, *x: Shape) -> Shape:
        """(places, E)."""
        return self.inner.shape(x[0], x[-1], x[-1])

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Of the three projections (3 E, E) and (3 E,); of the output's (E, E) and (E,)."""
        e = x[0][-1]
        return {
            "in_proj_weight": Param((3 * e, e), ("out", "in"), self.weight),
            "in_proj_bias": Param((3 * e,), ("out",), self.bias),
            "out_proj.weight": Param((e, e), ("out", "in"), self.weight),
            "out_proj.bias": Param((e,), ("out",), self.bias),
        }

    def forward(self, p: Params, *x: Array) -> Out:
        """Query, key and value; what is seen; the output's projection."""
        w, b, e = p["in_proj_weight"], p["in_proj_bias"], x[0].shape[2]
        given = [x[0], x[-1], x[-1]]
        qkv = [one @ w[i * e : (i + 1) * e].mT + b[i * e : (i + 1) * e] for i, one in enumerate(given)]
        seen = self.inner.forward({}, *qkv)
        return Out(seen.a @ p["out_proj.weight"].mT + p["out_proj.bias"], (qkv, seen))

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """Back through the three; what comes to one input that is all of them is added."""
        (qkv, seen), w, e = out.saved, p["in_proj_weight"], x[0].shape[2]
        parts = self.inner.backward({}, seen, d @ p["out_proj.weight"], *qkv).inputs
        back = [one @ w[i * e : (i + 1) * e] for i, one in enumerate(parts)]
        given, flat = [x[0], x[-1], x[-1]], [rows_of(one) for one in parts]
        dw = concat([one.mT @ rows_of(source) for one, source in zip(flat, given, strict=True)], 0)
        params = {
            "in_proj_weight": dw,
            "in_proj_bias": concat([sum(one, 0) for one in flat], 0),
            "out_proj.weight": rows_of(d).mT @ rows_of(seen.a),
            "out_proj.bias": sum(rows_of(d), 0),
        }
        memory = back[1] + back[2]
        return Back(back[0], memory, **params) if len(x) > 1 else Back(back[0] + memory, **params)


class Part(NamedTuple):
    """A layer within a block, by its name there, and what feeds it: other parts, or "0" and "1", the block's inputs."""

    name: str
    layer: Layer
    feeds: tuple[str, ...]


class Block(Layer):
    """A small graph of layers as one: its parameters are those of its parts, behind their names."""

    exact: ClassVar[bool] = False

    def parts(self, e: int) -> tuple[Part, ...]:
        """Its layers, for ``e`` features, each after what feeds it; the last is the output."""
        raise NotImplementedError

    def _shapes(self, *x: Shape) -> dict[str, Shape]:
        shapes = {str(i): one for i, one in enumerate(x)}
        for part in self.parts(x[0][-1]):
            shapes[part.name] = part.layer.shape(*(shapes[feed] for feed in part.feeds))
        return shapes

    def shape(self, *x: Shape) -> Shape:
        """That of its last part."""
        if {len(one) for one in x} != {2}:
            raise ValueError(f"inputs: expected samples of places and features; got {[*map(list, x)]}")
        return [*self._shapes(*x).values()][-1]

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Each part's."""
        shapes = self._shapes(*x)
        return {
            f"{part.name}.{name}": param
            for part in self.parts(x[0][-1])
            for name, param in part.layer.parameters(*(shapes[feed] for feed in part.feeds)).items()
        }

    def forward(self, p: Params, *x: Array) -> Out:
        """Part by part."""
        values, done = {str(i): one for i, one in enumerate(x)}, []
        for part in self.parts(x[0].shape[-1]):
            own = _of_part(p, part.name)
            given = [values[feed] for feed in part.feeds]
            out = part.layer.forward(own, *given)
            values[part.name] = out.a
            done.append((part, own, given, out))
        return Out(values[done[-1][0].name], done)

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """Back through them; what comes to one from several is added."""
        above: dict[str, Any] = {out.saved[-1][0].name: d}
        params: dict[str, Any] = {}
        for part, own, given, seen in reversed(out.saved):
            back = part.layer.backward(own, seen, above.pop(part.name), *given)
            for feed, dx in zip(part.feeds, back.inputs, strict=True):
                above[feed] = above[feed] + dx if feed in above else dx
            params |= {f"{part.name}.{name}": g for name, g in back.params.items()}
        return Back(*(above[str(i)] for i in range(len(x))), **params)


def _of_part(p: Params, name: str) -> dict[str, Array]:
    return {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}


class _Transformer(Block):
    sample: ClassVar[Shape] = (3, 4)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {**DRAWN, "hidden": 5},
        {**DRAWN, "hidden": 5, "heads": 2},
        {**DRAWN, "hidden": 5, "activation": "gelu"},
        {**DRAWN, "hidden": 5, "norm_first": True},
        {**DRAWN, "hidden": 5, "epsilon": 1e-3},
    )

    weight: Draw
    bias: Draw
    hidden: Count
    heads: Count = 1
    activation: Literal["relu", "gelu"] = "relu"
    norm_first: StrictBool = False
    epsilon: NotNegative = 1e-5

    def attention(self, causal: bool = False) -> Layer:
        """With its projections."""
        options = {"weight": self.weight, "bias": self.bias, "heads": self.heads, "causal": causal}
        return MultiHeadAttention(kind="multi_head_attention", name="it", **options)

    def around(self, feed: str, number: int, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """Parts, added to what comes in, with a norm before them or after: the last is ``sum<n>`` or ``norm<n>``."""
        norm, last = f"norm{number}", parts[-1].name
        layer = LayerNorm(kind="layer_norm", name="it", epsilon=self.epsilon)
        added = Part(f"sum{number}", Add(kind="add", name="it"), (feed, last))
        if not self.norm_first:
            return (*parts, added, Part(norm, layer, (added.name,)))
        inside = tuple(part._replace(feeds=(norm, *part.feeds[1:])) if part is parts[0] else part for part in parts)
        return (Part(norm, layer, (feed,)), *inside, added)

    def network(self, feed: str, e: int) -> tuple[Part, ...]:
        """Two linear layers with the activation between them."""
        first, second = (
            Linear(kind="linear", name="it", weight=self.weight, bias=self.bias, outputs=n) for n in (self.hidden, e)
        )
        act = Relu(kind="relu", name="it") if self.activation == "relu" else Gelu(kind="gelu", name="it")
        return (
            Part("linear1", first, (feed,)),
            Part("act", act, ("linear1",)),
            Part("linear2", second, ("act",)),
        )


class TransformerEncoderLayer(_Transformer):
    """y = norm₁(x + attention(x)), a = norm₂(y + W₂ f(W₁ y + b₁) + b₂); with ``norm_first`` norms stand before.

    Vaswani et al., *Attention is all you need* (2017), section 3.1; before: Xiong et al., *On layer normalization in
    the transformer architecture* (2020), table 1. ``causal``: a place sees none after it, as in a language model.
    """

    kind: Literal["transformer_encoder_layer"]
    examples = (*_Transformer.examples, {**DRAWN, "hidden": 5, "causal": True})

    causal: StrictBool = False

    def parts(self, e: int) -> tuple[Part, ...]:
        """Attention, and the network."""
        seen = self.around("0", 1, (Part("self_attn", self.attention(self.causal), ("0",)),))
        return seen + self.around(seen[-1].name, 2, self.network(seen[-1].name, e))


class TransformerDecoderLayer(_Transformer):
    """An encoder's layer whose attention is causal, with attention to a second input, the memory, in between."""

    kind: Literal["transformer_decoder_layer"]
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def parts(self, e: int) -> tuple[Part, ...]:
        """Attention to what came before, to the memory, and the network."""
        own = self.around("0", 1, (Part("self_attn", self.attention(causal=True), ("0",)),))
        memory = Part("multihead_attn", self.attention(), (own[-1].name, "1"))
        seen = own + self.around(own[-1].name, 2, (memory,))
        return seen + self.around(seen[-1].name, 3, self.network(seen[-1].name, e))
