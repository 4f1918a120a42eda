"""What are PaddlePaddle's own modules called, where are their parameters, and which settings have they?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isograd.parts import Part, Row, all_parts, flattened_parts, named, settings


def _linear(module: Any) -> Iterator[Part]:
    """The weight is (in, out)."""
    yield Part("weight", "weight", swap=True)
    if module.bias is not None:
        yield Part("bias", "bias")


def _bilinear(module: Any) -> Iterator[Part]:
    """The bias is (1, out)."""
    yield Part("weight", "weight")
    if module.bias is not None:
        yield Part("bias", "bias", flat=True)


def _batch_norm(module: Any) -> dict[str, Any]:
    """With the weight of the new statistics for momentum: PaddlePaddle's is that of the old ones."""
    return {
        "epsilon": module._epsilon,
        "momentum": round(1 - module._momentum, 12),
        "training": module.training and module._use_global_stats is not True,
        "unbiased": False,
    }


def _padding(module: Any) -> dict[str, Any]:
    n = len(module._stride) if isinstance(module._stride, (list, tuple)) else 1
    padding = module._padding
    return {
        "stride": tuple(module._stride),
        "padding": (padding,) * n if isinstance(padding, int) else padding,
        "dilation": tuple(module._dilation),
        "groups": module._groups,
        "padding_mode": module._padding_mode,
    }


def _recurrent(module: Any) -> dict[str, Any]:
    return {
        "layers": module.num_layers,
        "bidirectional": module.num_directions == 2,
        "batch_first": not module.time_major,
        "dropout": float(module.dropout),
    }


def _lstm(module: Any) -> Iterator[Part]:
    """With a projection, 3.3.1's own names are another cell's from the first projection on: the cells' are right."""
    if not module.proj_size:
        yield from all_parts(module)
        return
    cells = {"cell_fw": "", "cell_bw": "_reverse"} if module.num_directions == 2 else {"cell": ""}
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    for at in range(module.num_layers):
        for cell, suffix in cells.items():
            own = getattr(getattr(module, str(at)), cell)
            for name in names:
                if getattr(own, name, None) is not None:
                    yield Part(f"{name}_l{at}{suffix}", f"{at}.{cell}.{name}")
            yield Part(f"weight_hr_l{at}{suffix}", f"{at}.{cell}.weight_ho", swap=True)


def _pool(module: Any) -> dict[str, Any]:
    kernel = module.ksize if hasattr(module, "ksize") else module.kernel_size
    settings = {"kernel": kernel, "padding": module.padding, "ceil_mode": module.ceil_mode}
    settings["stride"] = kernel if module.stride is None else module.stride
    return settings | ({"counts_padding": not module.exclusive} if hasattr(module, "exclusive") else {})


CONVOLUTION = Row("conv", named("weight", "bias"), settings=_padding)
TRANSPOSED = Row("conv_transpose", named("weight", "bias"), settings=_padding)
BATCH_NORM = Row(
    "batch_norm", named("weight", "bias"), named(running_mean="_mean", running_var="_variance"), _batch_norm
)
INSTANCE_NORM = Row("instance_norm", named(weight="scale", bias="bias"), settings=settings(epsilon="_epsilon"))
MAX_POOL, AVERAGE_POOL = Row("max_pool", settings=_pool), Row("avg_pool", settings=_pool)
ADAPTIVE = Row("adaptive_pool", settings=settings(output="_output_size"))
DROPOUT = Row("dropout", settings=settings(p="p"))
CELL = Row("rnn_cell", all_parts)
RECURRENT = {
    kind: Row(name, _lstm if kind == "LSTM" else all_parts, settings=_recurrent, whole=True)
    for kind, name in {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}.items()
}


def _loss(module: Any) -> dict[str, Any]:
    names = {"reduction": "reduction", "ignored": "ignore_index", "smoothing": "label_smoothing", "delta": "delta"}
    both = {name: (own, f"_{own}") for name, own in names.items()}
    return {name: getattr(module, own) for name, owns in both.items() for own in owns if hasattr(module, own)}


ROWS: Mapping[str, Row] = {
    "Linear": Row("linear", _linear),
    "Bilinear": Row("bilinear", _bilinear),
    "Embedding": Row(
        "embedding",
        named("weight"),
        settings=lambda m: {"padding_index": None if m._padding_idx in (None, -1) else m._padding_idx},
    ),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), CONVOLUTION),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), TRANSPOSED),
    **dict.fromkeys(("BatchNorm", "BatchNorm1D", "BatchNorm2D", "BatchNorm3D", "SyncBatchNorm"), BATCH_NORM),
    **dict.fromkeys(("InstanceNorm1D", "InstanceNorm2D", "InstanceNorm3D"), INSTANCE_NORM),
    "LayerNorm": Row("layer_norm", flattened_parts, settings=settings(epsilon="_epsilon")),
    "GroupNorm": Row(
        "group_norm", named("weight", "bias"), settings=settings(epsilon="_epsilon", groups="_num_groups")
    ),
    "PReLU": Row("prelu", named(weight="_weight")),
    **RECURRENT,
    **dict.fromkeys(("SimpleRNNCell", "LSTMCell", "GRUCell"), CELL),
    "MultiHeadAttention": Row("attention", settings=settings(heads="num_heads", dropout="dropout")),
    **dict.fromkeys(("MaxPool1D", "MaxPool2D", "MaxPool3D"), MAX_POOL),
    **dict.fromkeys(("AvgPool1D", "AvgPool2D", "AvgPool3D"), AVERAGE_POOL),
    **dict.fromkeys(("AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D"), ADAPTIVE),
    **dict.fromkeys(("Dropout", "Dropout2D", "Dropout3D", "AlphaDropout"), DROPOUT),
    "LeakyReLU": Row("leaky_relu", settings=settings(slope="_negative_slope")),
    "ELU": Row("elu", settings=settings(alpha="_alpha")),
    "CELU": Row("celu", settings=settings(alpha="_alpha")),
    "GELU": Row("gelu", settings=settings(tanh_form="_approximate")),
    "Swish": Row("silu"),
    "Softplus": Row("softplus", settings=settings(beta="_beta", threshold="_threshold")),
    "Hardtanh": Row("hard_tanh", settings=settings(low="_min", high="_max")),
    "Softmax": Row("softmax", settings=settings(axis="_axis")),
    "LogSoftmax": Row("log_softmax", settings=settings(axis="_axis")),
    "Flatten": Row("flatten", settings=settings(first="start_axis", last="stop_axis")),
    "Upsample": Row("upsample", settings=settings(mode="mode", align_corners="align_corners")),
    "CrossEntropyLoss": Row("cross_entropy", settings=_loss),
    "NLLLoss": Row("nll", settings=_loss),
    "MSELoss": Row("mse", settings=_loss),
    "L1Loss": Row("l1", settings=_loss),
    "SmoothL1Loss": Row("smooth_l1", settings=_loss),
    "BCELoss": Row("bce", settings=_loss),
    "BCEWithLogitsLoss": Row("bce_with_logits", settings=_loss),
    "KLDivLoss": Row("kl", settings=_loss),
}
