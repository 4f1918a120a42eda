"""How are gradients clipped in PaddlePaddle?"""

from __future__ import annotations

from typing import Any

from isograd.backends.paddlepaddle.rows.row import ClippingRow, paddle


def _lacks(op: Any) -> str:
    return f"epsilon={op.epsilon:g}" if op.epsilon else ""


CLIPPINGS: dict[str, ClippingRow] = {
    "value": ClippingRow(lambda op: paddle.nn.ClipGradByValue(op.bound)),
    "norm": ClippingRow(lambda op: paddle.nn.ClipGradByNorm(op.bound), _lacks, frozenset({"float64"})),
    "global_norm": ClippingRow(lambda op: paddle.nn.ClipGradByGlobalNorm(op.bound), _lacks),
}
