"""How do axes change and branches meet in PaddlePaddle?"""

from __future__ import annotations

from functools import reduce
from operator import add

from isograd.backends.paddlepaddle.rows.row import LayerRow, of_batch, paddle

LAYERS: dict[str, LayerRow] = {
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "multiply": LayerRow(lambda op, *x: lambda *z: z[0] * z[1]),
    "concat": LayerRow(lambda op, *x: lambda *z: paddle.concat(z, of_batch(op.axis))),
    "stack": LayerRow(lambda op, *x: lambda *z: paddle.stack(z, 1)),
    "flatten": LayerRow(lambda op, x: paddle.nn.Flatten()),
    "reshape": LayerRow(lambda op, x: lambda z: z.reshape([-1, *op.to])),
    "transpose": LayerRow(lambda op, x: lambda z: z.transpose([0, *(axis + 1 for axis in op.axes)])),
    "slice": LayerRow(lambda op, x: lambda z: paddle.slice(z, [op.axis % len(x) + 1], [op.first], [op.last])),
    "sum": LayerRow(lambda op, x: lambda z: z.sum([*map(of_batch, op.axes)], keepdim=op.keep)),
    "mean": LayerRow(lambda op, x: lambda z: z.mean([*map(of_batch, op.axes)], keepdim=op.keep)),
}
