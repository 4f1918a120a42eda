"""What are PyTorch's own modules called, where are their parameters, and which settings have they?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isograd.parts import Part, Row, all_parts, flattened_parts, named, settings


def _attention(module: Any) -> Iterator[Part]:
    """Projections one by one: PyTorch packs them, others do not."""
    for at, name in enumerate(("q_proj", "k_proj", "v_proj")):
        if module.in_proj_weight is not None:
            yield Part(f"{name}.weight", "in_proj_weight", (at, at + 1, 3))
        else:
            yield Part(f"{name}.weight", f"{name}_weight")
        if module.in_proj_bias is not None:
            yield Part(f"{name}.bias", "in_proj_bias", (at, at + 1, 3))
    yield Part("out_proj.weight", "out_proj.weight")
    if module.out_proj.bias is not None:
        yield Part("out_proj.bias", "out_proj.bias")


def _batch_norm(module: Any) -> dict[str, Any]:
    """With the weight of the new statistics for momentum; None is the average of all."""
    return {"epsilon": module.eps, "momentum": module.momentum, "training": module.training, "unbiased": True}


def _padding(module: Any) -> dict[str, Any]:
    padding = module.padding
    return {
        "stride": module.stride,
        "padding": padding if isinstance(padding, str) else tuple(padding),
        "dilation": module.dilation,
        "groups": module.groups,
        "padding_mode": module.padding_mode,
    }


def _recurrent(module: Any) -> dict[str, Any]:
    return {
        "layers": module.num_layers,
        "bidirectional": module.bidirectional,
        "batch_first": module.batch_first,
        "dropout": float(module.dropout),
    }


CONVOLUTION = Row("conv", named("weight", "bias"), settings=_padding)
TRANSPOSED = Row("conv_transpose", named("weight", "bias"), settings=_padding)
BATCH_NORM = Row("batch_norm", named("weight", "bias"), named("running_mean", "running_var"), _batch_norm)
INSTANCE_NORM = Row("instance_norm", named("weight", "bias"), named("running_mean", "running_var"), _batch_norm)
MAX_POOL = Row(
    "max_pool", settings=settings(kernel="kernel_size", stride="stride", padding="padding", ceil_mode="ceil_mode")
)
AVERAGE_POOL = Row(
    "avg_pool",
    settings=settings(
        kernel="kernel_size",
        stride="stride",
        padding="padding",
        ceil_mode="ceil_mode",
        counts_padding="count_include_pad",
    ),
)
ADAPTIVE = Row("adaptive_pool", settings=settings(output="output_size"))
DROPOUT = Row("dropout", settings=settings(p="p"))
CELL = Row("rnn_cell", all_parts)
RECURRENT = {kind: Row(kind.lower(), all_parts, settings=_recurrent) for kind in ("RNN", "LSTM", "GRU")}
LOSS = settings(
    reduction="reduction",
    ignored="ignore_index",
    smoothing="label_smoothing",
    beta="beta",
    delta="delta",
    margin="margin",
)

ROWS: Mapping[str, Row] = {
    "Linear": Row("linear", named("weight", "bias")),
    "Bilinear": Row("bilinear", named("weight", "bias")),
    "Embedding": Row("embedding", named("weight"), settings=settings(padding_index="padding_idx")),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), CONVOLUTION),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), TRANSPOSED),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"), BATCH_NORM),
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), INSTANCE_NORM),
    "LayerNorm": Row("layer_norm", flattened_parts, settings=settings(epsilon="eps")),
    "GroupNorm": Row("group_norm", named("weight", "bias"), settings=settings(epsilon="eps", groups="num_groups")),
    "RMSNorm": Row("rms_norm", flattened_parts, settings=settings(epsilon="eps")),
    "PReLU": Row("prelu", named("weight")),
    **RECURRENT,
    **dict.fromkeys(("RNNCell", "LSTMCell", "GRUCell"), CELL),
    "MultiheadAttention": Row(
        "attention", _attention, settings=settings(heads="num_heads", dropout="dropout"), whole=True
    ),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), MAX_POOL),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), AVERAGE_POOL),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"), ADAPTIVE),
    **dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"), DROPOUT),
    "LeakyReLU": Row("leaky_relu", settings=settings(slope="negative_slope")),
    "ELU": Row("elu", settings=settings(alpha="alpha")),
    "CELU": Row("celu", settings=settings(alpha="alpha")),
    "GELU": Row("gelu", settings=lambda module: {"tanh_form": module.approximate == "tanh"}),
    "Softplus": Row("softplus", settings=settings(beta="beta", threshold="threshold")),
    "Hardtanh": Row("hard_tanh", settings=settings(low="min_val", high="max_val")),
    "Softmax": Row("softmax", settings=settings(axis="dim")),
    "LogSoftmax": Row("log_softmax", settings=settings(axis="dim")),
    "Flatten": Row("flatten", settings=settings(first="start_dim", last="end_dim")),
    "Upsample": Row("upsample", settings=settings(mode="mode", align_corners="align_corners")),
    "CrossEntropyLoss": Row("cross_entropy", settings=LOSS),
    "NLLLoss": Row("nll", settings=LOSS),
    "MSELoss": Row("mse", settings=LOSS),
    "L1Loss": Row("l1", settings=LOSS),
    "SmoothL1Loss": Row("smooth_l1", settings=LOSS),
    "HuberLoss": Row("huber", settings=LOSS),
    "BCELoss": Row("bce", settings=LOSS),
    "BCEWithLogitsLoss": Row("bce_with_logits", settings=LOSS),
    "KLDivLoss": Row("kl", settings=LOSS),
}
