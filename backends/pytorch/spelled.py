"""What are PyTorch's fused functions made of? Each spelled out, so that each part of it can be tried as another.

Formulas are those of PyTorch's own documentation of each function. A comment behind a part says what it is: a report
shows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(Q Kᵀ / √d + mask) V."""
    if enable_gqa:
        raise NotImplementedError("grouped queries")
    scores = torch.matmul(query, key.transpose(-2, -1))  # queries times keys
    scores = torch.mul(scores, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)  # the scale
    if is_causal:
        seen = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        scores = torch.masked_fill(scores, ~seen, float("-inf"))  # the causal mask
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = torch.masked_fill(scores, ~attn_mask, float("-inf"))  # the mask
    elif attn_mask is not None:
        scores = torch.add(scores, attn_mask)  # the mask
    weights = torch.softmax(scores, -1)  # the softmax of attention
    return torch.matmul(weights, value)  # weights times values


def multi_head_attention(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    """Projections, attention in each head, one projection; of (places, samples, width)."""
    if bias_k is not None or add_zero_attn or static_k is not None or query.dim() != 3:
        raise NotImplementedError("attention with additional keys")
    places, samples, width = query.shape
    packed = not use_separate_proj_weight
    weights = in_proj_weight.chunk(3) if packed else (q_proj_weight, k_proj_weight, v_proj_weight)
    biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)

    def heads(x: Any, weight: Any, bias: Any) -> Any:
        x = torch.nn.functional.linear(x, weight, bias)  # a projection of queries, keys or values
        x = torch.reshape(x, (len(x), samples, num_heads, width // num_heads))  # the heads
        return x.permute(1, 2, 0, 3)

    q, k, v = (heads(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    scores = torch.matmul(q, k.transpose(-2, -1))  # queries times keys
    scores = torch.mul(scores, 1 / math.sqrt(width // num_heads))  # the scale
    if attn_mask is not None:
        mask = attn_mask if attn_mask.dim() == 2 else attn_mask.view(samples, num_heads, places, -1)
        scores = _masked(scores, mask)
    if key_padding_mask is not None:
        scores = _padded(scores, key_padding_mask[:, None, None, :])
    if is_causal and attn_mask is None:
        scores = _masked(scores, ~torch.ones(places, len(key), dtype=torch.bool).tril())
    weights_of = torch.softmax(scores, -1)  # the softmax of attention
    out = torch.matmul(weights_of, v)  # weights times values
    out = torch.reshape(out.permute(2, 0, 1, 3), (places, samples, width))  # the heads side by side
    out = torch.nn.functional.linear(out, out_proj_weight, out_proj_bias)  # the output projection
    if not need_weights:
        return out, None
    return out, weights_of.mean(1) if average_attn_weights else weights_of


def _masked(scores: Any, mask: Any) -> Any:
    if mask.dtype == torch.bool:
        return torch.masked_fill(scores, mask, float("-inf"))  # the mask
    return torch.add(scores, mask)  # the mask


def _padded(scores: Any, mask: Any) -> Any:
    if mask.dtype == torch.bool:
        return torch.masked_fill(scores, mask, float("-inf"))  # the padding mask
    return torch.add(scores, mask)  # the padding mask


def lstm(x: Any, *rest: Any) -> Any:
    """c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c)."""

    def cell(x: Any, h: Any, c: Any, w_x: Any, w_h: Any, b_x: Any, b_h: Any) -> Any:
        h = torch.clone(h)  # the output that is carried on
        c = torch.clone(c)  # the cell's state that is carried on
        of_input = torch.nn.functional.linear(x, w_x, b_x)  # the cell's linear function of its input
        of_state = torch.nn.functional.linear(h, w_h, b_h)  # the cell's linear function of its state
        i, f, g, o = torch.chunk(of_input + of_state, 4, -1)  # the gates i, f, g, o
        i = torch.sigmoid(i)  # the input gate
        f = torch.sigmoid(f)  # the forget gate
        g = torch.tanh(g)  # the candidate
        o = torch.sigmoid(o)  # the output gate
        c = torch.add(torch.mul(f, c), torch.mul(i, g))  # the new state of the cell
        h = torch.mul(o, torch.tanh(c))  # the cell's output
        return h, c

    return _recurrent(cell, x, *rest)


def gru(x: Any, *rest: Any, reset: str = "of the state's part") -> Any:
    """n = tanh(x_n + r h_n), h = (1 − z) n + z h; or with the reset gate r elsewhere."""

    def cell(x: Any, h: Any, w_x: Any, w_h: Any, b_x: Any, b_h: Any) -> Any:
        h = torch.clone(h)  # the state that is carried on
        of_input = torch.nn.functional.linear(x, w_x, b_x)  # the cell's linear function of its input
        of_state = torch.nn.functional.linear(h, w_h, b_h)  # the cell's linear function of its state
        r_x, z_x, n_x = torch.chunk(of_input, 3, -1)  # the gates r, z, n of the input
        r_h, z_h, n_h = torch.chunk(of_state, 3, -1)  # the gates r, z, n of the state
        r = torch.sigmoid(r_x + r_h)  # the reset gate
        z = torch.sigmoid(z_x + z_h)  # the update gate
        if reset == "of both parts":
            n = torch.tanh(torch.mul(r, n_x + n_h))
        elif reset == "of the state":
            bias = None if b_h is None else b_h.chunk(3)[2]
            n = torch.tanh(n_x + torch.nn.functional.linear(torch.mul(r, h), w_h.chunk(3)[2], bias))
        else:
            n = torch.tanh(n_x + torch.mul(r, n_h))  # the candidate, with the reset gate
        h = torch.add(torch.mul(1 - z, n), torch.mul(z, h))  # the new state
        return (h,)

    return _recurrent(cell, x, *rest)


def rnn(x: Any, *rest: Any, function: Callable[[Any], Any] = lambda z: z.tanh()) -> Any:
    """h = tanh(W x + b + U h + c)."""

    def cell(x: Any, h: Any, w_x: Any, w_h: Any, b_x: Any, b_h: Any) -> Any:
        h = torch.clone(h)  # the output that is carried on
        of_input = torch.nn.functional.linear(x, w_x, b_x)  # the cell's linear function of its input
        of_state = torch.nn.functional.linear(h, w_h, b_h)  # the cell's linear function of its state
        h = function(of_input + of_state)  # the new state
        return (h,)

    return _recurrent(cell, x, *rest)


@dataclass(frozen=True)
class Recurrent:
    """What `torch.lstm` and its like are given, in either of their two forms.

    Attributes:
        x: (time, samples, features), or (samples, time, features), or packed (elements, features).
        sizes: of packed sequences, how many there are at each time; None for others.
        state: the initial states, one or two.
        weights: of each layer and direction two, and two biases.
    """

    x: Any
    sizes: Any
    state: Any
    weights: Any
    biases: bool
    layers: int
    dropout: float
    train: bool
    both: bool
    batch_first: bool

    @classmethod
    def of(cls, *args: Any) -> Recurrent:
        """The arguments of a call."""
        if len(args) != 9:
            raise NotImplementedError("another form")
        if isinstance(args[1], torch.Tensor) and not args[1].is_floating_point():
            x, sizes, state, weights, biases, layers, dropout, train, both = args
            return cls(x, sizes, state, weights, biases, layers, dropout, train, both, batch_first=False)
        x, state, weights, biases, layers, dropout, train, both, batch_first = args
        return cls(x, None, state, weights, biases, layers, dropout, train, both, batch_first)

    def args(self) -> tuple[Any, ...]:
        """And back again."""
        rest = (self.weights, self.biases, self.layers, self.dropout, self.train, self.both)
        if self.sizes is not None:
            return (self.x, self.sizes, self.state, *rest)
        return (self.x, self.state, *rest, self.batch_first)

    @property
    def each(self) -> int:
        """Tensors of a layer and direction."""
        return 4 if self.biases else 2


def _recurrent(cell: Callable[..., Any], *args: Any) -> Any:
    """Every layer and direction over time; what `torch.lstm` and its like give."""
    of = Recurrent.of(*args)
    states = tuple(of.state) if isinstance(of.state, (tuple, list)) else (of.state,)
    directions = 2 if of.both else 1
    if len(of.weights) != of.each * of.layers * directions or (of.sizes is None and of.x.dim() != 3):
        raise NotImplementedError("projections, or a single sequence")
    x = of.x.transpose(0, 1) if of.batch_first else of.x
    steps = list(x.unbind(0)) if of.sizes is None else list(x.split(of.sizes.tolist()))
    last: list[Any] = []
    for layer in range(of.layers):
        sides = []
        for side in range(directions):
            at = layer * directions + side
            own = [*of.weights[of.each * at : of.each * (at + 1)], None, None][:4]
            now, out = tuple(s[at] for s in states), []
            for step in reversed(steps) if side else steps:
                new = cell(step, *(s[: len(step)] for s in now), *own)
                now = tuple(torch.cat((a, b[len(step) :])) for a, b in zip(new, now, strict=True))
                out.append(new[0])
            sides.append(out[::-1] if side else out)
            last.append(now)
        steps = [torch.cat(both, -1) for both in zip(*sides, strict=True)] if of.both else sides[0]  # both directions
    final = tuple(torch.stack([now[part] for now in last]) for part in range(len(states)))
    if of.sizes is not None:
        return (torch.cat(steps), *final)
    out = torch.stack(steps)
    return (out.transpose(0, 1) if of.batch_first else out, *final)


def layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x − mean) / √(var + ε) · w + b."""
    axes = tuple(range(-len(normalized_shape), 0))
    mean = torch.mean(x, axes, keepdim=True)  # the mean
    centred = torch.sub(x, mean)  # the mean is subtracted
    variance = torch.var(x, axes, correction=0, keepdim=True)  # the variance
    out = torch.mul(centred, torch.rsqrt(torch.add(variance, eps)))  # divided by the root of the variance and ε
    out = out if weight is None else torch.mul(out, weight)  # the weight
    return out if bias is None else torch.add(out, bias)  # the bias


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x Wᵀ + b."""
    out = torch.matmul(x, weight.transpose(-2, -1))  # times the weight
    return out if bias is None else torch.add(out, bias)  # the bias


SPELLED: Mapping[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head_attention,
    "lstm": lstm,
    "gru": gru,
    "rnn_tanh": rnn,
    "rnn_relu": lambda *args: rnn(*args, function=lambda z: z.relu()),
    "layer_norm": layer_norm,
    "linear": linear,
}
