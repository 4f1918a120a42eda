"""What does a careful porter write in PaddlePaddle for a module of PyTorch with these arguments?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.samples.listed import Sample

Given = Mapping[str, Any]


class Unsupported(ValueError):
    """There is no counterpart: of what."""


@dataclass(frozen=True)
class Layer:
    """A module of PaddlePaddle, and how it is called.

    Attributes:
        cls: in `paddle.nn`.
        options: its constructor's.
        way: how it is given a sample's inputs (`tests.samples.sides.WAYS`).
        about: what that way needs to know.
    """

    cls: str
    options: Mapping[str, Any] = field(default_factory=dict)
    way: str = "plain"
    about: Mapping[str, Any] = field(default_factory=dict)


Translation = Callable[[Sample], Layer]


def layer_of(sample: Sample) -> Layer:
    """The counterpart of a sample's module; raises `Unsupported`."""
    if sample.module not in PAIRS:
        raise Unsupported("no namesake")
    if sample.strange:
        raise Unsupported(sample.strange)
    return PAIRS[sample.module](sample)


def same(cls: str, names: str = "", dims: int | None = None, **defaults: Any) -> Translation:
    """The same arguments, some by another name; all others must be what PaddlePaddle does.

    Args:
        cls: in `paddle.nn`.
        names: arguments that both have, as ``name`` or ``name:theirs``.
        dims: axes of an input with its batch; one that has fewer has no batch axis.
        defaults: what PaddlePaddle does where it has no such argument.
    """
    pairs = {pair.partition(":")[0]: pair.partition(":")[2] or pair for pair in names.split()}

    def translate(sample: Sample) -> Layer:
        options = {theirs: sample.given[name] for name, theirs in pairs.items()}
        for name, value in sample.given.items():
            if name not in pairs and (name not in defaults or value != defaults[name]):
                raise Unsupported(f"{name}={_short(value)}")
        return Layer(cls, options, *_way(sample, dims))

    return translate


def _short(value: Any) -> str:
    return "an array" if isinstance(value, Mapping) and "array" in value else str(value)


def _way(sample: Sample, dims: int | None) -> tuple[str, dict[str, Any]]:
    alone = dims is not None and len(sample.shape(sample.inputs[0])) < dims
    return ("lifted", {"axes": [0]}) if alone else ("plain", {})


def _changed(translate: Translation, change: Callable[[Given, dict[str, Any]], None], *own: str) -> Translation:
    """A translation whose options are then changed; arguments of its own are seen by the change alone."""

    def changed(sample: Sample) -> Layer:
        given = {name: value for name, value in sample.given.items() if name not in own}
        found = translate(_with(sample, given))
        options = dict(found.options)
        change(sample.given, options)
        return Layer(found.cls, options, found.way, found.about)

    return changed


def _with(sample: Sample, given: Given) -> Sample:
    from dataclasses import replace

    return replace(sample, given=given)


# ---------------------------------------------------------------- what needs a word


def _bias(given: Given, options: dict[str, Any]) -> None:
    if not given["bias"]:
        options["bias_attr"] = False


def _convolution(dims: int) -> Translation:
    names = "in_channels out_channels kernel_size stride padding dilation groups padding_mode"
    return _changed(same(f"Conv{dims}D", names, dims + 2), _bias, "bias")


def _transposed(dims: int) -> Translation:
    names = "in_channels out_channels kernel_size stride padding output_padding groups dilation"
    return _changed(same(f"Conv{dims}DTranspose", names, dims + 2, padding_mode="zeros"), _bias, "bias")


def _affine(given: Given, options: dict[str, Any]) -> None:
    if not given["affine"]:
        options |= {"weight_attr": False, "bias_attr": False}
    elif not given["bias"]:
        options["bias_attr"] = False


def _batch_norm(dims: int) -> Translation:
    """Momentum is the weight of the old statistics."""

    def change(given: Given, options: dict[str, Any]) -> None:
        if given["momentum"] is None:
            raise Unsupported("momentum=None: an average of all batches")
        if not given["track_running_stats"]:
            raise Unsupported("track_running_stats=False")
        options["momentum"] = 1 - given["momentum"]
        _affine(given, options)

    own = ("momentum", "affine", "bias", "track_running_stats")
    return _changed(same(f"BatchNorm{dims}D", "num_features eps:epsilon"), change, *own)


def _instance_norm(dims: int) -> Translation:
    def change(given: Given, options: dict[str, Any]) -> None:
        if given["track_running_stats"]:
            raise Unsupported("track_running_stats=True")
        if given["affine"] and not given["bias"]:
            raise Unsupported("a weight without a bias")
        _affine(given, options)

    own = ("momentum", "affine", "bias", "track_running_stats")
    return _changed(same(f"InstanceNorm{dims}D", "num_features eps:epsilon", dims + 2), change, *own)


def _group_norm(sample: Sample) -> Layer:
    names = "num_groups num_channels eps:epsilon"
    return _changed(same("GroupNorm", names), _affine, "affine", "bias")(sample)


def _average_pool(dims: int) -> Translation:
    """What counts padding there excludes it here."""
    names = "kernel_size stride padding ceil_mode" + (" divisor_override" if dims > 1 else "")

    def change(given: Given, options: dict[str, Any]) -> None:
        options["exclusive"] = not given["count_include_pad"]

    return _changed(same(f"AvgPool{dims}D", names, dims + 2), change, "count_include_pad")


def _max_pool(dims: int) -> Translation:
    names = "kernel_size stride padding return_indices:return_mask ceil_mode"
    return same(f"MaxPool{dims}D", names, dims + 2, dilation=1)


def _smooth_l1(sample: Sample) -> Layer:
    """Its δ is PyTorch's β where it is told not to be Huber's loss."""

    def change(given: Given, options: dict[str, Any]) -> None:
        options["is_huber"] = False

    return _changed(same("SmoothL1Loss", "reduction beta:delta"), change)(sample)


def _float_labels(cls: str, names: str) -> Translation:
    """Labels 1 and −1 have to be of the scores' dtype."""

    def translate(sample: Sample) -> Layer:
        found = same(cls, names)(sample)
        return Layer(cls, found.options, "float labels" if sample.is_whole(sample.inputs[-1]) else "plain")

    return translate


def _gelu(sample: Sample) -> Layer:
    return Layer("GELU", {"approximate": sample.given["approximate"] == "tanh"})


def _cross_entropy(sample: Sample) -> Layer:
    """Classes are the second axis, which has to be said; and whether labels are probabilities.

    Smoothed labels are counted by the last axis, whatever is said: there classes have to be the last one.
    """
    names = "weight ignore_index reduction label_smoothing"
    scores, labels = sample.inputs
    options = {name: sample.given[name] for name in names.split()}
    options["soft_label"] = not sample.is_whole(labels)
    if options["label_smoothing"] and len(sample.shape(scores)) > 2:
        return Layer("CrossEntropyLoss", options, "classes last")
    options["axis"] = min(1, len(sample.shape(scores)) - 1)
    return Layer("CrossEntropyLoss", options)


def _gaussian(sample: Sample) -> Layer:
    """The variance has the scores' shape, but for its last axis."""
    scores, variance = sample.shape(sample.inputs[0]), sample.shape(sample.inputs[2])
    if variance not in (scores, scores[:-1], (*scores[:-1], 1)):
        raise Unsupported("a variance that is the same for all samples")
    return same("GaussianNLLLoss", "full eps:epsilon reduction")(sample)


def _ctc(sample: Sample) -> Layer:
    """Scores are any there, and normalised: what float32 holds of log-probabilities is normalised once more."""
    if len(sample.shape(sample.inputs[1])) == 1:
        raise Unsupported("labels of all samples one after another")
    raise Unsupported("log-probabilities, which are normalised once more: float32's do not add up to 1 in float64")


def _recurrent(cls: str, activation: bool = False) -> Translation:
    def translate(sample: Sample) -> Layer:
        given = sample.given
        options = {name: given[name] for name in ("input_size", "hidden_size", "num_layers", "dropout")}
        options["time_major"] = not given["batch_first"]
        options["direction"] = "bidirect" if given["bidirectional"] else "forward"
        if not given["bias"]:
            options |= {"bias_ih_attr": False, "bias_hh_attr": False}
        if activation:
            options["activation"] = given.get("nonlinearity", "tanh")
        if cls == "LSTM":
            options["proj_size"] = given["proj_size"]
        alone = len(sample.shape(sample.inputs[0])) == 2
        axes = [0 if given["batch_first"] else 1, 1]  # of the sequence, and of the states
        return Layer(cls, options, *(("lifted", {"axes": axes}) if alone else ("plain", {})))

    return translate


def _cell(cls: str, activation: bool = False) -> Translation:
    def translate(sample: Sample) -> Layer:
        given = sample.given
        alone = len(sample.shape(sample.inputs[0])) == 1
        if alone and cls == "LSTMCell":
            raise Unsupported("no batch axis: c is a view of what h is made of, and its gradient lacks that of h")
        options = {name: given[name] for name in ("input_size", "hidden_size")}
        if not given["bias"]:
            options |= {"bias_ih_attr": False, "bias_hh_attr": False}
        if activation:
            options["activation"] = given["nonlinearity"]
        return Layer(cls, options, "cell", {"alone": alone})

    return translate


def _batch_first(sample: Sample, batch_first: bool) -> dict[str, Any]:
    """Where the batch's axis is: PaddlePaddle's is the first; one sequence alone has none."""
    alone = len(sample.shape(sample.inputs[0])) == 2
    if not alone and not batch_first:
        raise Unsupported("batch_first=False")
    return {"alone": alone}


def _attention(sample: Sample) -> Layer:
    given = dict(sample.given)
    batch_first = given.pop("batch_first")
    bias = given.pop("bias")
    defaults = {"add_bias_kv": False, "add_zero_attn": False}
    found = same("MultiHeadAttention", "embed_dim num_heads dropout kdim vdim", **defaults)(_with(sample, given))
    options = {**found.options, "need_weights": True} | ({} if bias else {"bias_attr": False})
    return Layer(found.cls, options, "attention", _batch_first(sample, batch_first))


NORMS = "bias=False: the norms within have one"


def _transformer_options(given: Given) -> dict[str, Any]:
    if not given["bias"]:
        raise Unsupported(NORMS)
    options = {name: given[name] for name in ("d_model", "nhead", "dim_feedforward", "dropout", "activation")}
    return options | {"normalize_before": given["norm_first"]}


def _transformer_layer(cls: str, way: str) -> Translation:
    def translate(sample: Sample) -> Layer:
        options = _transformer_options(sample.given) | {"layer_norm_eps": sample.given["layer_norm_eps"]}
        return Layer(cls, options, way, _batch_first(sample, sample.given["batch_first"]))

    return translate


def _encoder(sample: Sample) -> Layer:
    layer = sample.given["encoder_layer"]["given"]
    options = _transformer_options(layer) | {"layer_norm_eps": layer["layer_norm_eps"]}
    inner = {"layer": "TransformerEncoderLayer", "options": options}
    whole = {"encoder_layer": inner, "num_layers": sample.given["num_layers"]}
    return Layer("TransformerEncoder", whole, "encoder", _batch_first(sample, layer["batch_first"]))


def _transformer(sample: Sample) -> Layer:
    given = sample.given
    if given["layer_norm_eps"] != 1e-5:
        raise Unsupported("layer_norm_eps")
    options = {name: given[name] for name in ("num_encoder_layers", "num_decoder_layers")}
    options |= _transformer_options(given)
    return Layer("Transformer", options, "transformer", _batch_first(sample, given["batch_first"]))


def _each(kind: str, translate: Callable[[int], Translation]) -> dict[str, Translation]:
    return {f"{kind}{dims}d": translate(dims) for dims in (1, 2, 3)}


def _padding(kind: str, names: str = "padding") -> dict[str, Translation]:
    return _each(f"{kind}Pad", lambda dims: same(f"{kind}Pad{dims}D", names, dims + 2))


PAIRS: Mapping[str, Translation] = {
    **_each("AdaptiveAvgPool", lambda dims: same(f"AdaptiveAvgPool{dims}D", "output_size", dims + 2)),
    **_each(
        "AdaptiveMaxPool",
        lambda dims: same(f"AdaptiveMaxPool{dims}D", "output_size return_indices:return_mask", dims + 2),
    ),
    **_each("AvgPool", _average_pool),
    **_each("MaxPool", _max_pool),
    "LPPool1d": same("LPPool1D", "norm_type kernel_size stride ceil_mode", 3),
    "LPPool2d": same("LPPool2D", "norm_type kernel_size stride ceil_mode", 4),
    **_each("BatchNorm", _batch_norm),
    **_each("InstanceNorm", _instance_norm),
    "GroupNorm": _group_norm,
    "LayerNorm": same("LayerNorm", "normalized_shape eps:epsilon elementwise_affine bias"),
    "LocalResponseNorm": same("LocalResponseNorm", "size alpha beta k"),
    **_each("Conv", _convolution),
    **_each("ConvTranspose", _transposed),
    "Linear": _changed(same("Linear", "in_features out_features"), _bias, "bias"),
    "Bilinear": _changed(same("Bilinear", "in1_features in2_features out_features", 2), _bias, "bias"),
    "Embedding": same(
        "Embedding",
        "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq",
        sparse=False,
        _weight=None,
        _freeze=False,
    ),
    **_padding("Reflection"),
    **_padding("Replication"),
    **_padding("Zero"),
    **_padding("Circular"),
    **_padding("Constant", "padding value"),
    "CELU": same("CELU", "alpha"),
    "ELU": same("ELU", "alpha"),
    "GELU": _gelu,
    "GLU": same("GLU", "dim:axis"),
    "Hardshrink": same("Hardshrink", "lambd:threshold"),
    "Hardswish": same("Hardswish"),
    "Hardtanh": same("Hardtanh", "min_val:min max_val:max", min_value=None, max_value=None),
    "LeakyReLU": same("LeakyReLU", "negative_slope"),
    "LogSigmoid": same("LogSigmoid"),
    "LogSoftmax": same("LogSoftmax", "dim:axis"),
    "Mish": same("Mish"),
    "PReLU": same("PReLU", "num_parameters init"),
    "ReLU": same("ReLU"),
    "ReLU6": same("ReLU6"),
    "SELU": same("SELU"),
    "SiLU": same("Silu"),
    "Sigmoid": same("Sigmoid"),
    "Softmax": same("Softmax", "dim:axis"),
    "Softmax2d": same("Softmax2D"),
    "Softplus": same("Softplus", "beta threshold"),
    "Softshrink": same("Softshrink", "lambd:threshold"),
    "Softsign": same("Softsign"),
    "Tanh": same("Tanh"),
    "Tanhshrink": same("Tanhshrink"),
    "Threshold": same("ThresholdedReLU", "threshold value"),
    "BCELoss": same("BCELoss", "weight reduction"),
    "BCEWithLogitsLoss": same("BCEWithLogitsLoss", "weight reduction pos_weight"),
    "CTCLoss": _ctc,
    "CosineEmbeddingLoss": same("CosineEmbeddingLoss", "margin reduction"),
    "CrossEntropyLoss": _cross_entropy,
    "GaussianNLLLoss": _gaussian,
    "HingeEmbeddingLoss": same("HingeEmbeddingLoss", "margin reduction"),
    "HuberLoss": same("HuberLoss", "reduction delta"),
    "KLDivLoss": same("KLDivLoss", "reduction log_target"),
    "L1Loss": same("L1Loss", "reduction"),
    "MSELoss": same("MSELoss", "reduction"),
    "MarginRankingLoss": _float_labels("MarginRankingLoss", "margin reduction"),
    "MultiLabelMarginLoss": same("MultiLabelMarginLoss", "reduction", 2),
    "MultiLabelSoftMarginLoss": _float_labels("MultiLabelSoftMarginLoss", "weight reduction"),
    "MultiMarginLoss": same("MultiMarginLoss", "p margin weight reduction"),
    "NLLLoss": same("NLLLoss", "weight ignore_index reduction"),
    "PoissonNLLLoss": same("PoissonNLLLoss", "log_input full eps:epsilon reduction"),
    "SmoothL1Loss": _smooth_l1,
    "SoftMarginLoss": same("SoftMarginLoss", "reduction"),
    "RNN": _recurrent("SimpleRNN", activation=True),
    "GRU": _recurrent("GRU"),
    "LSTM": _recurrent("LSTM"),
    "RNNCell": _cell("SimpleRNNCell", activation=True),
    "GRUCell": _cell("GRUCell"),
    "LSTMCell": _cell("LSTMCell"),
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _transformer_layer("TransformerEncoderLayer", "encoder"),
    "TransformerDecoderLayer": _transformer_layer("TransformerDecoderLayer", "decoder"),
    "TransformerEncoder": _encoder,
    "Transformer": _transformer,
}
"""By the class in `torch.nn`. What draws at random has no pair: no two frameworks draw the same."""
