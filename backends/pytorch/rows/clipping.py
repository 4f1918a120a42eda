"""How are gradients clipped in PyTorch?"""

from __future__ import annotations

from typing import Any

from isograd.backends.pytorch.rows.row import ClippingRow, torch


def _each(op: Any, parameters: Any) -> None:
    for p in parameters:
        torch.nn.utils.clip_grad_norm_([p], op.bound)


def _lacks(op: Any) -> str:
    return "" if op.epsilon == 1e-6 else f"epsilon={op.epsilon:g}"


CLIPPINGS: dict[str, ClippingRow] = {
    "value": ClippingRow(lambda op, parameters: torch.nn.utils.clip_grad_value_(parameters, op.bound)),
    "norm": ClippingRow(_each, _lacks),
    "global_norm": ClippingRow(lambda op, parameters: torch.nn.utils.clip_grad_norm_(parameters, op.bound), _lacks),
}
