"""What does a place of a sequence see of all the others?"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import ClassVar, Literal

from pydantic import StrictBool

from isograd.arithmetic.words import concat, pad, reshape, sum, transpose
from isograd.ops.activations import softmax
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Count

Params = Mapping[str, Array]


class Attention(Layer):
    """a = softmax(q kᵀ / √n) v, for each of ``heads`` with n features of each place (Vaswani et al., 2017).

    ``inputs`` are q, k, v: (places, features) each; k and v have as many places, q and k as many features. ``causal``:
    the i-th place of q sees none after the i-th. With p the softmax: ∂L/∂v = pᵀ d, and with Σ d a over features for
    Σ d vᵀ p over places (Dao et al., *FlashAttention*, 2022, appendix B.2) ∂L/∂(q kᵀ / √n) = p (d vᵀ − Σ d a), of which
    ∂L/∂q = … k / √n and ∂L/∂k = …ᵀ q / √n.
    """

    kind: Literal["attention"]
    arity: ClassVar[tuple[int, int]] = (3, 3)
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (3, 4)
    examples = ({}, {"heads": 2}, {"causal": True})

    heads: Count = 1
    causal: StrictBool = False

    def shape(self, *x: Shape) -> Shape:
        """(places of q, features of v)."""
        q, k, v = x
        if {len(one) for one in x} != {2} or q[1] != k[1] or k[0] != v[0]:
            raise ValueError(f"inputs: expected q (m, a), k (n, a), v (n, b); got {q}, {k}, {v}")
        if q[1] % self.heads or v[1] % self.heads:
            raise ValueError(f"heads: expected a divisor of {q[1]} and {v[1]}, the features; got {self.heads}")
        return (q[0], v[1])

    def forward(self, p: Params, *x: Array) -> Out:
        """Head by head, side by side."""
        q, k, v = map(self._heads, x)
        scores = (q @ k.mT) * (1 / sqrt(q.shape[3]))
        shares = self._shares(scores)
        return Out(self._joined(shares @ v), (q, k, v, shares))

    def _shares(self, scores: Array) -> Array:
        """The softmax of what each place sees."""
        last = scores.ndim - 1
        if not self.causal:
            return softmax(scores, last)
        rows = []
        for i in range(scores.shape[2]):  # a place that is not seen is no number, and not a small one
            seen = scores[:, :, i : i + 1, : i + 1]
            rows.append(pad(softmax(seen, last), [(0, 0)] * 3 + [(0, scores.shape[3] - seen.shape[3])]))
        return concat(rows, 2)

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """∂L/∂q, ∂L/∂k, ∂L/∂v."""
        q, k, v, shares = out.saved
        d = self._heads(d)
        along = sum(d * self._heads(out.a), 3, keepdims=True)
        of_scores = shares * (d @ v.mT - along) * (1 / sqrt(q.shape[3]))
        return Back(*map(self._joined, (of_scores @ k, of_scores.mT @ q, shares.mT @ d)))

    def _heads(self, x: Array) -> Array:
        """(B, places, heads · n) gives (B, heads, places, n)."""
        batch, places, features = x.shape
        return transpose(reshape(x, (batch, places, self.heads, features // self.heads)), (0, 2, 1, 3))

    def _joined(self, x: Array) -> Array:
        batch, heads, places, n = x.shape
        return reshape(transpose(x, (0, 2, 1, 3)), (batch, places, heads * n))
