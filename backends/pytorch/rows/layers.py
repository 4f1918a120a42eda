"""How are PyTorch's layers with parameters built, and what is different in them?"""

from __future__ import annotations

from typing import Any

from isograd.backends.pytorch.rows.row import LayerRow, of_batch, torch


def _linear(op: Any, x: tuple[int, ...]) -> Any:
    units, features = op.parameters(x)["weight"].shape
    return torch.nn.Linear(features, units, bias=op.bias is not None)


def _conv(op: Any, x: tuple[int, ...]) -> Any:
    settings = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
    kind = "ConvTranspose" if op.turned else "Conv"
    settings |= {"output_padding": op.more} if op.turned else {}
    return getattr(torch.nn, f"{kind}{op.rank}d")(x[0], op.units, op.size, bias=op.bias is not None, **settings)


def _batch_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = getattr(torch.nn, f"BatchNorm{max(len(x) - 1, 1)}d")
    options = {"track_running_stats": op.running, "momentum": 1 - op.momentum}  # the weight of the new statistic
    return norm(x[0], eps=op.epsilon, **options)


def _layer_norm(op: Any, x: tuple[int, ...]) -> Any:
    return torch.nn.LayerNorm(x[-op.axes :], op.epsilon, op.affine)


def _group_norm(op: Any, x: tuple[int, ...]) -> Any:
    return torch.nn.GroupNorm(op.groups, x[0], op.epsilon, op.affine)


def _instance_norm(op: Any, x: tuple[int, ...]) -> Any:
    return getattr(torch.nn, f"InstanceNorm{len(x) - 1}d")(x[0], op.epsilon, affine=op.affine)


def _normalize(op: Any, x: tuple[int, ...]) -> Any:
    return lambda z: torch.nn.functional.normalize(z, dim=of_batch(op.axis), eps=op.epsilon)


LAYERS: dict[str, LayerRow] = {
    "linear": LayerRow(_linear),
    "conv1d": LayerRow(_conv),
    "conv2d": LayerRow(_conv),
    "conv3d": LayerRow(_conv),
    "conv_transpose1d": LayerRow(_conv),
    "conv_transpose2d": LayerRow(_conv),
    "batch_norm": LayerRow(_batch_norm),
    "layer_norm": LayerRow(_layer_norm),
    "group_norm": LayerRow(_group_norm),
    "instance_norm": LayerRow(_instance_norm),
    "rms_norm": LayerRow(lambda op, x: torch.nn.RMSNorm(x[-1], op.epsilon)),
    "local_response_norm": LayerRow(lambda op, x: torch.nn.LocalResponseNorm(op.size, op.alpha, op.beta, op.k)),
    "normalize": LayerRow(_normalize),
}
