"""How are PaddlePaddle's layers with parameters built, and what is different in them?"""

from __future__ import annotations

from typing import Any

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.row import KERNELS, LayerRow, are_rounded, bias_of, of_batch, paddle


def _linear(op: Any, x: tuple[int, ...]) -> Any:
    units, features = op.parameters(x)["weight"].shape
    return paddle.nn.Linear(features, units, bias_attr=bias_of(op))


def _conv(op: Any, x: tuple[int, ...]) -> Any:
    settings = {"stride": [*op.stride], "padding": [*op.padding], "dilation": [*op.dilation], "groups": op.groups}
    if not op.turned and op.padding_mode != "zeros":
        settings |= {"padding_mode": op.padding_mode, "padding": op.padding[0]}
    if op.turned:
        settings["output_padding"] = [*op.more] if any(op.more) else 0
    kind = f"Conv{op.rank}D" + ("Transpose" if op.turned else "")
    return getattr(paddle.nn, kind)(x[0], op.units, [*op.size], bias_attr=bias_of(op), **settings)


def _conv_lacks(op: Any) -> str:
    one_number = op.padding_mode == "zeros" or len(set(op.padding)) == 1
    return "" if one_number else f"padding_mode={op.padding_mode} with another padding for each axis"


def _batch_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = getattr(paddle.nn, f"BatchNorm{max(len(x) - 1, 1)}D")
    return norm(x[0], momentum=op.momentum, epsilon=op.epsilon, use_global_stats=None if op.running else False)


def _affine(op: Any, names: tuple[str, str]) -> dict[str, Any]:
    return {} if op.affine else dict.fromkeys(names, False)


def _layer_norm(op: Any, x: tuple[int, ...]) -> Any:
    return paddle.nn.LayerNorm([*x[-op.axes :]], op.epsilon, **_affine(op, ("weight_attr", "bias_attr")))


def _group_norm(op: Any, x: tuple[int, ...]) -> Any:
    return paddle.nn.GroupNorm(op.groups, x[0], op.epsilon, **_affine(op, ("weight_attr", "bias_attr")))


def _instance_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = getattr(paddle.nn, f"InstanceNorm{len(x) - 1}D")
    return norm(x[0], op.epsilon, **_affine(op, ("weight_attr", "bias_attr")))


def _rms_norm(op: Any, x: tuple[int, ...]) -> Any:
    class RmsNorm(paddle.nn.Layer):  # type: ignore[name-defined, misc]  # PaddlePaddle's own has no kernel on the CPU (3.3.1)
        """As people write it."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = self.create_parameter([x[-1]], dtype=paddle.get_default_dtype())

        def forward(self, z: Any) -> Any:
            """By the root of the mean square."""
            return z / paddle.sqrt(paddle.mean(z * z, axis=-1, keepdim=True) + op.epsilon) * self.weight

    return RmsNorm()


def _normalize(op: Any, x: tuple[int, ...]) -> Any:
    return lambda z: paddle.nn.functional.normalize(z, axis=of_batch(op.axis), epsilon=op.epsilon)


def _recurrent(name: str) -> Any:
    def build(op: Any, x: tuple[int, ...]) -> Any:
        class Outputs(getattr(paddle.nn, name)):  # type: ignore[misc]
            """Its outputs, without the last states."""

            def forward(self, z: Any) -> Any:
                """(B, places, hidden)."""
                return super().forward(z)[0]

        options = {"activation": op.activation} if name == "SimpleRNN" else {}
        options |= {f"bias_{side}_attr": bias_of(op) for side in ("ih", "hh")}
        return Outputs(x[1], op.hidden, op.layers, "bidirect" if op.both else "forward", **options)

    return build


def _recurrent_lacks(op: Any) -> str:
    return "" if op.bias else "bias: without one it crashes (docs/found.md)"


def _attention(op: Any, *x: tuple[int, ...]) -> Any:
    def apply(*inputs: Any) -> Any:
        heads = [z.reshape([0, 0, op.heads, -1]) for z in inputs]  # (B, places, heads, features)
        options = {"is_causal": op.causal}
        if op.causal and x[0][0] != x[1][0]:  # of other lengths its own mask begins at the other end
            options = {"attn_mask": paddle.ones([x[0][0], x[1][0]], dtype="bool").tril()}
        return paddle.nn.functional.scaled_dot_product_attention(*heads, **options).flatten(2)

    return apply


def _embedding(op: Any, x: tuple[int, ...]) -> Any:
    return paddle.nn.Embedding(*op.size, padding_idx=op.padding)


def _positions(op: Any, x: tuple[int, ...]) -> Any:
    class Positions(paddle.nn.Layer):  # type: ignore[name-defined, misc]
        """As people write them."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = self.create_parameter([*x], dtype=paddle.get_default_dtype())

        def forward(self, z: Any) -> Any:
            """A row for each place."""
            return z + self.weight

    return Positions()


def _sinusoids(op: Any, x: tuple[int, ...]) -> Any:
    table = paddle.to_tensor(op.table(*x), dtype="float64").reshape([*x])
    return lambda z: z + table.astype(z.dtype)


def _bilinear(op: Any, *x: tuple[int, ...]) -> Any:
    return paddle.nn.Bilinear(x[0][-1], x[1][-1], op.units, bias_attr=bias_of(op))


LAYERS: dict[str, LayerRow] = {
    "bilinear": LayerRow(_bilinear),
    "embedding": LayerRow(
        _embedding, lacks=lambda op: "" if op.padding is None else "padding: it gives zeros for that row"
    ),
    "positions": LayerRow(_positions),
    "sinusoids": LayerRow(_sinusoids),
    # a weight is (in, out), for z = x W + b
    "linear": LayerRow(_linear, transposed=frozenset({"weight"})),
    "conv1d": LayerRow(_conv, lacks=_conv_lacks),
    "conv2d": LayerRow(_conv, lacks=_conv_lacks),
    "conv3d": LayerRow(_conv, lacks=_conv_lacks),
    "conv_transpose1d": LayerRow(_conv),
    "conv_transpose2d": LayerRow(_conv),
    "rnn": LayerRow(_recurrent("SimpleRNN"), lacks=_recurrent_lacks),
    "lstm": LayerRow(_recurrent("LSTM"), lacks=_recurrent_lacks),
    "gru": LayerRow(_recurrent("GRU"), lacks=_recurrent_lacks),
    "attention": LayerRow(_attention),
    "batch_norm": LayerRow(_batch_norm, {"running_mean": "_mean", "running_var": "_variance"}),
    "layer_norm": LayerRow(_layer_norm, lacks=lambda op: f"epsilon={op.epsilon:g}" if op.epsilon > 1e-3 else ""),
    "group_norm": LayerRow(
        _group_norm, lacks=lambda op: "" if op.affine else "affine=false: its gradient is wrong (docs/found.md)"
    ),
    "instance_norm": LayerRow(_instance_norm, {"weight": "scale"}),
    "rms_norm": LayerRow(_rms_norm),
    "local_response_norm": LayerRow(lambda op, x: paddle.nn.LocalResponseNorm(op.size, op.alpha, op.beta, op.k)),
    "normalize": LayerRow(
        _normalize, lacks=lambda op: f"epsilon={op.epsilon:g}: its gradient adds it" if op.epsilon > 1e-9 else ""
    ),
}


def _epsilon(kernel: str) -> Deviation:
    """That ε is kept in float32."""
    return Deviation(
        "forward/{op}",
        "ε is kept in float32, in a float64 run too",
        "3.3.1",
        f"{KERNELS}{kernel}_kernel.cc",
        ("*",),
        are_rounded("epsilon"),
        kept_in="float32",
    )


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "layer_norm": (_epsilon("layer_norm"),),
    "instance_norm": (_epsilon("instance_norm"),),
    "group_norm": tuple(
        Deviation(
            quantity,
            "the variance is the mean of the squares less the square of the mean, which loses digits of it",
            "3.3.1",
            f"{KERNELS}group_norm_kernel.cc",
            ("*",),
            lambda op, dtype: dtype == "float32",
            always=False,  # where the mean is large beside the deviation
            kept_in="float16",  # so many digits are left even where the mean is thirty deviations
        )
        for quantity in ("forward/{op}", "backward/{below}")
    ),
    "local_response_norm": (
        Deviation(
            "backward/{below}",
            "the mean over channels is divided in float32 on the way back, in a float64 run too",
            "3.3.1",
            f"{KERNELS}pool_grad_kernel.cc",
            ("*",),
            lambda op, dtype: dtype == "float64",
            always=False,
            kept_in="float32",
        ),
    ),
    "normalize": (
        Deviation(
            "backward/{below}",
            "on the way back ε is added to the length, not compared with it",
            "3.3.1",
            f"{KERNELS}p_norm_grad_kernel.cc",
            ("*",),
            lambda op, dtype: dtype == "float64",
            always=False,  # as large as ε is beside the lengths
            kept_in="float32",
        ),
    ),
    "batch_norm": (
        _epsilon("batch_norm"),
        Deviation(
            "buffer/{op}.running_mean",
            "momentum is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}batch_norm_kernel.cc",
            ("buffer/{op}.*", "eval/*", "eval_loss"),
            are_rounded("momentum"),
            kept_in="float32",
        ),
        Deviation(
            "buffer/{op}.running_var",
            "the running variance takes in the batch's biased variance (a mean over n), not the unbiased one (n − 1)",
            "3.3.1",
            f"{KERNELS}batch_norm_kernel.cc",
            ("eval/*", "eval_loss"),
        ),
    ),
}
