"""How do axes change and branches meet in PyTorch?"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from isograd.backends.pytorch.rows.row import LayerRow, of_batch, torch


def _flatten(op: Any, x: tuple[int, ...]) -> Any:
    # of samples that are flat already `Flatten` gives its very input, which has no gradient of its own
    return torch.nn.Flatten() if len(x) > 1 else lambda z: z.view_as(z)


LAYERS: dict[str, LayerRow] = {
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "multiply": LayerRow(lambda op, *x: lambda *z: z[0] * z[1]),
    "concat": LayerRow(lambda op, *x: lambda *z: torch.cat(z, of_batch(op.axis))),
    "stack": LayerRow(lambda op, *x: lambda *z: torch.stack(z, 1)),
    "flatten": LayerRow(_flatten),
    "reshape": LayerRow(lambda op, x: lambda z: z.reshape(-1, *op.to)),
    "transpose": LayerRow(lambda op, x: lambda z: z.permute(0, *(axis + 1 for axis in op.axes))),
    "slice": LayerRow(lambda op, x: lambda z: z.narrow(of_batch(op.axis), op.first, op.last - op.first)),
    "sum": LayerRow(lambda op, x: lambda z: z.sum([*map(of_batch, op.axes)], keepdim=op.keep)),
    "mean": LayerRow(lambda op, x: lambda z: z.mean([*map(of_batch, op.axes)], keepdim=op.keep)),
}
