"""What does a layer make of a sequence that goes over it place by place, with a state?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import StrictBool

from isograd.arithmetic.words import concat, maximum, reshape, sum, tanh, where
from isograd.ops.activations import logistic
from isograd.ops.linear import rows_of
from isograd.ops.op import Array, Back, Draw, Layer, Out, Param, Shape
from isograd.spec import Count

Params = Mapping[str, Array]
NORMAL = {"draw": "normal", "scale": 0.5}
DRAWN: Mapping[str, Any] = {"hidden": 3, "weight": NORMAL, "bias": NORMAL}


class Step(NamedTuple):
    """A place of a sequence: the state that it has left, first the output; and what the derivative needs."""

    state: tuple[Array, ...]
    saved: tuple[Array, ...]


class _Recurrent(Layer):
    """(places, features) gives (places, hidden), or twice as many if the sequence is gone over in ``both`` directions.

    With u = W_ih x + b_ih of a place and v = W_hh h + b_hh of the output before it, which is 0 at first; a second of
    ``layers`` sees the first one's outputs. Parameters are named as in PyTorch, gate below gate. The gradient goes back
    through time (Werbos, 1990; Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 10.2.2).
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (3, 2)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        DRAWN,
        {"hidden": 3, "weight": NORMAL},
        {**DRAWN, "layers": 2},
        {**DRAWN, "both": True},
    )

    hidden: Count
    weight: Draw
    bias: Draw | None = None
    layers: Count = 1
    both: StrictBool = False

    def shape(self, *x: Shape) -> Shape:
        """(places, hidden · directions)."""
        if len(x[0]) != 2:
            raise ValueError(f"inputs: expected samples of shape (places, features); got {x[0]}")
        return (x[0][0], self.hidden * len(self._ways))

    @property
    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.both else ("",)

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Of each layer and direction: weights (gates · hidden, in) and (gates · hidden, hidden), and both biases."""
        held: dict[str, Param] = {}
        for layer in range(self.layers):
            features = self.hidden * len(self._ways) if layer else x[0][1]
            for way in self._ways:
                of = f"l{layer}{way}"
                held[f"weight_ih_{of}"] = Param((self.gates * self.hidden, features), ("out", "in"), self.weight)
                held[f"weight_hh_{of}"] = Param((self.gates * self.hidden, self.hidden), ("out", "in"), self.weight)
                for side in ("ih", "hh") if self.bias else ():
                    held[f"bias_{side}_{of}"] = Param((self.gates * self.hidden,), ("out",), self.bias)
        return held

    def forward(self, p: Params, x: Array) -> Out:
        """Layer upon layer."""
        saved = []
        for layer in range(self.layers):
            runs = [self._run(p, f"l{layer}{way}", x, bool(way)) for way in self._ways]
            saved.append((x, runs))
            x = runs[0][0] if len(runs) == 1 else concat([run[0] for run in runs], 2)
        return Out(x, saved)

    def _run(self, p: Params, of: str, x: Array, reverse: bool) -> tuple[Array, list[Step], list[Array]]:
        """One direction: all outputs, the steps in the order in which they are gone, and the outputs before them."""
        u = self._of(p, "ih", of, x)
        state = tuple(0 * u[:, 0, : self.hidden] for _ in range(self.states))
        steps, before = [], []
        places = range(x.shape[1])
        for t in reversed(places) if reverse else places:
            before.append(state[0])
            steps.append(self.step(u[:, t], self._of(p, "hh", of, state[0]), state))
            state = steps[-1].state
        outputs = [_at_place(step.state[0]) for step in steps]
        return concat(outputs[::-1] if reverse else outputs, 1), steps, before

    def _of(self, p: Params, side: str, of: str, x: Array) -> Array:
        z = x @ p[f"weight_{side}_{of}"].mT
        return z + p[f"bias_{side}_{of}"] if self.bias else z

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Layer under layer; of each the directions' gradients are added."""
        gradients: dict[str, Array] = {}
        for layer in reversed(range(self.layers)):
            below, runs = out.saved[layer]
            parts = []
            for i, (way, (_, steps, before)) in enumerate(zip(self._ways, runs, strict=True)):
                own = d[:, :, i * self.hidden : (i + 1) * self.hidden]
                parts.append(self._back(p, f"l{layer}{way}", own, below, steps, before, gradients))
            d = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return Back(d, **{name: gradients[name] for name in p})

    def _back(
        self, p: Params, of: str, d: Array, x: Array, steps: list[Step], before: list[Array], into: dict[str, Array]
    ) -> Array:
        """Through time: ∂L/∂u and ∂L/∂v of each place, and with them the parameters' gradients, and ∂L/∂x."""
        places = [*range(x.shape[1])]
        order = places[::-1] if of.endswith("_reverse") else places
        later = tuple(0 * d[:, 0] for _ in range(self.states))
        of_u, of_v = [], []
        for t, step in zip(order[::-1], steps[::-1], strict=True):
            du, dv, direct = self.step_back(step, (d[:, t] + later[0], *later[1:]))
            through = dv @ p[f"weight_hh_{of}"]
            later = (through if direct[0] is None else through + direct[0], *direct[1:])
            of_u.append(du)
            of_v.append(dv)
        us = concat([_at_place(u) for u in _by_place(of_u[::-1], order)], 1)
        vs, outputs = (concat([_at_place(a) for a in side], 1) for side in (of_v[::-1], before))
        into[f"weight_ih_{of}"] = rows_of(us).mT @ rows_of(x)
        into[f"weight_hh_{of}"] = rows_of(vs).mT @ rows_of(outputs)
        if self.bias:
            into[f"bias_ih_{of}"], into[f"bias_hh_{of}"] = sum(us, (0, 1)), sum(vs, (0, 1))
        return us @ p[f"weight_ih_{of}"]

    def _gate(self, z: Array, i: int) -> Array:
        return z[:, i * self.hidden : (i + 1) * self.hidden]

    @abstractmethod
    def step(self, u: Array, v: Array, state: tuple[Array, ...]) -> Step:
        """One place, from u, v, and the state before it."""

    @abstractmethod
    def step_back(self, step: Step, d: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """∂L/∂u, ∂L/∂v, and what goes to the state before the place beside what goes through v (None: nothing)."""


class Rnn(_Recurrent):
    """h = tanh(u + v), or max(0, u + v) (Elman, 1990): see `_Recurrent` for u and v."""

    kind: Literal["rnn"]
    gates: ClassVar[int] = 1
    examples = (*_Recurrent.examples, {**DRAWN, "activation": "relu"})

    activation: Literal["tanh", "relu"] = "tanh"

    def step(self, u: Array, v: Array, state: tuple[Array, ...]) -> Step:
        """One place."""
        h = tanh(u + v) if self.activation == "tanh" else maximum(0, u + v)
        return Step((h,), (u + v,))

    def step_back(self, step: Step, d: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """tanh′ = 1 − h²; of max(0, z) 1 above 0."""
        h, z = step.state[0], step.saved[0]
        dz = d[0] * (1 - h * h) if self.activation == "tanh" else where(z <= 0, 0, d[0])
        return dz, dz, (None,)


class Lstm(_Recurrent):
    """c = f c + i g, h = o tanh(c), with gates i, f, o = σ(u + v) and g = tanh(u + v), in the order i, f, g, o.

    Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000). See `_Recurrent` for u and v.
    """

    kind: Literal["lstm"]
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def step(self, u: Array, v: Array, state: tuple[Array, ...]) -> Step:
        """One place."""
        z = u + v
        i, f, o = (logistic(self._gate(z, at)) for at in (0, 1, 3))
        g = tanh(self._gate(z, 2))
        c = f * state[1] + i * g
        bent = tanh(c)
        return Step((o * bent, c), (i, f, g, o, bent, state[1]))

    def step_back(self, step: Step, d: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """σ′ = a (1 − a), tanh′ = 1 − a²."""
        i, f, g, o, bent, before = step.saved
        dc = d[1] + d[0] * o * (1 - bent * bent)
        dz = concat(
            [
                dc * g * i * (1 - i),
                dc * before * f * (1 - f),
                dc * i * (1 - g * g),
                d[0] * bent * o * (1 - o),
            ],
            1,
        )
        return dz, dz, (None, dc * f)


class Gru(_Recurrent):
    """h = (1 − z) n + z h, with gates r, z = σ(u + v) and n = tanh(u + r v), in the order r, z, n.

    Cho et al. (2014), with r on v as a whole, as frameworks have it. See `_Recurrent` for u and v.
    """

    kind: Literal["gru"]
    gates: ClassVar[int] = 3

    def step(self, u: Array, v: Array, state: tuple[Array, ...]) -> Step:
        """One place."""
        r, z = (logistic(self._gate(u, at) + self._gate(v, at)) for at in (0, 1))
        of_v = self._gate(v, 2)
        n = tanh(self._gate(u, 2) + r * of_v)
        return Step(((1 - z) * n + z * state[0],), (r, z, n, of_v, state[0]))

    def step_back(self, step: Step, d: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """σ′ = a (1 − a), tanh′ = 1 − a²; to v's part of n only r goes on."""
        r, z, n, of_v, before = step.saved
        dn = d[0] * (1 - z) * (1 - n * n)
        dz = d[0] * (before - n) * z * (1 - z)
        dr = dn * of_v * r * (1 - r)
        return concat([dr, dz, dn], 1), concat([dr, dz, dn * r], 1), (d[0] * z,)


def _at_place(a: Array) -> Array:
    """(B, n) as the numbers of one place: (B, 1, n)."""
    return reshape(a, (a.shape[0], 1, a.shape[1]))


def _by_place(steps: list[Array], order: list[int]) -> list[Array]:
    return [steps[order.index(t)] for t in range(len(order))]
