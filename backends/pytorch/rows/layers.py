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
    settings |= {"output_padding": op.more} if op.turned else {"padding_mode": op.padding_mode}
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


def _local_response_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = torch.nn.LocalResponseNorm(op.size, op.alpha, op.beta, op.k)

    def apply(z: Any) -> Any:
        if z.dtype in (torch.float16, torch.bfloat16):  # in which there is no `avg_pool3d`, which it asks for images
            return norm(z.flatten(2)).reshape(z.shape)
        return norm(z)

    return apply if len(x) > 2 else norm


def _normalize(op: Any, x: tuple[int, ...]) -> Any:
    return lambda z: torch.nn.functional.normalize(z, dim=of_batch(op.axis), eps=op.epsilon)


def _recurrent(name: str) -> Any:
    def build(op: Any, x: tuple[int, ...]) -> Any:
        class Outputs(getattr(torch.nn, name)):  # type: ignore[misc]
            """Its outputs, without the last states."""

            def forward(self, z: Any) -> Any:
                """(B, places, hidden)."""
                return super().forward(z)[0]

        options = {"nonlinearity": op.activation} if name == "RNN" else {}
        options |= {"bias": op.bias is not None, "batch_first": True, "bidirectional": op.both}
        return Outputs(x[1], op.hidden, op.layers, **options)

    return build


def _attention(op: Any, *x: tuple[int, ...]) -> Any:
    def apply(*inputs: Any) -> Any:
        heads = [z.unflatten(-1, (op.heads, -1)).transpose(1, 2) for z in inputs]
        seen = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=op.causal)
        return seen.transpose(1, 2).flatten(2)

    return apply


def _embedding(op: Any, x: tuple[int, ...]) -> Any:
    return torch.nn.Embedding(*op.size, padding_idx=op.padding)


def _positions(op: Any, x: tuple[int, ...]) -> Any:
    class Positions(torch.nn.Module):  # type: ignore[name-defined, misc]
        """As people write them."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(x))

        def forward(self, z: Any) -> Any:
            """A row for each place."""
            return z + self.weight

    return Positions()


def _sinusoids(op: Any, x: tuple[int, ...]) -> Any:
    table = torch.tensor(op.table(*x), dtype=torch.float64).reshape(x)
    return lambda z: z + table.to(z.dtype)


def _bilinear(op: Any, *x: tuple[int, ...]) -> Any:
    return torch.nn.Bilinear(x[0][-1], x[1][-1], op.units, bias=op.bias is not None)


LAYERS: dict[str, LayerRow] = {
    "linear": LayerRow(_linear),
    "bilinear": LayerRow(_bilinear),
    "embedding": LayerRow(_embedding),
    "positions": LayerRow(_positions),
    "sinusoids": LayerRow(_sinusoids),
    "conv1d": LayerRow(_conv),
    "conv2d": LayerRow(_conv),
    "conv3d": LayerRow(_conv),
    "conv_transpose1d": LayerRow(_conv),
    "conv_transpose2d": LayerRow(_conv),
    "rnn": LayerRow(_recurrent("RNN")),
    "lstm": LayerRow(_recurrent("LSTM")),
    "gru": LayerRow(_recurrent("GRU")),
    "attention": LayerRow(_attention),
    "batch_norm": LayerRow(_batch_norm),
    "layer_norm": LayerRow(_layer_norm),
    "group_norm": LayerRow(_group_norm),
    "instance_norm": LayerRow(_instance_norm),
    "rms_norm": LayerRow(lambda op, x: torch.nn.RMSNorm(x[-1], op.epsilon)),
    "local_response_norm": LayerRow(_local_response_norm),
    "normalize": LayerRow(_normalize),
}
