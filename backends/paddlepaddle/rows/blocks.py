"""How are PaddlePaddle's layers of a transformer built, and what are their parameters called?"""

from __future__ import annotations

from typing import Any

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.layers import DEVIATIONS as OF_LAYERS
from isograd.backends.paddlepaddle.rows.row import LayerRow, paddle


def causal(places: int, seen: int) -> Any:
    """True where one of the seen places is not after a place: it may be seen."""
    return paddle.ones([places, seen], dtype="bool").tril()


def _multi_head_attention(op: Any, *x: tuple[int, ...]) -> Any:
    class Causal(paddle.nn.MultiHeadAttention):  # type: ignore[name-defined, misc]
        """With the mask that its users give it."""

        def forward(self, z: Any, memory: Any = None) -> Any:
            """(B, places, features)."""
            places = (z.shape[1], (z if memory is None else memory).shape[1])
            return super().forward(z, memory, memory, attn_mask=causal(*places) if op.causal else None)

    return Causal(x[0][1], op.heads)


def _settings(op: Any, x: tuple[int, ...]) -> dict[str, Any]:
    sizes = {"d_model": x[1], "nhead": op.heads, "dim_feedforward": op.hidden, "dropout": 0.0}
    return sizes | {"activation": op.activation, "layer_norm_eps": op.epsilon, "normalize_before": op.norm_first}


def _encoder(op: Any, x: tuple[int, ...]) -> Any:
    class Masked(paddle.nn.TransformerEncoderLayer):  # type: ignore[name-defined, misc]
        """With the mask that its users give it, if any."""

        def forward(self, z: Any) -> Any:
            """(B, places, features)."""
            return super().forward(z, causal(z.shape[1], z.shape[1]) if op.causal else None)

    return Masked(**_settings(op, x))


def _decoder(op: Any, x: tuple[int, ...], memory: tuple[int, ...]) -> Any:
    class Causal(paddle.nn.TransformerDecoderLayer):  # type: ignore[name-defined, misc]
        """With the mask that its users give it."""

        def forward(self, z: Any, memory: Any) -> Any:
            """(B, places, features)."""
            return super().forward(z, memory, tgt_mask=causal(z.shape[1], z.shape[1]))

    return Causal(**_settings(op, x))


PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def _attention(ours: str, theirs: str) -> dict[str, tuple[str, ...]]:
    """What stands one below the other in ours."""
    return {
        f"{ours}in_proj_{kind}": tuple(f"{theirs}{name}.{kind}" for name in PROJECTIONS) for kind in ("weight", "bias")
    }


CROSS = {f"multihead_attn.out_proj.{kind}": f"cross_attn.out_proj.{kind}" for kind in ("weight", "bias")}
TURNED = frozenset({"linear1.weight", "linear2.weight"})


def _turned(*attentions: str) -> frozenset[str]:
    return frozenset(f"{name}{part}" for name in attentions for part in ("in_proj_weight", "out_proj.weight"))


LAYERS: dict[str, LayerRow] = {
    "multi_head_attention": LayerRow(_multi_head_attention, transposed=_turned(""), stacked=_attention("", "")),
    "transformer_encoder_layer": LayerRow(
        _encoder, transposed=_turned("self_attn.") | TURNED, stacked=_attention("self_attn.", "self_attn.")
    ),
    "transformer_decoder_layer": LayerRow(
        _decoder,
        CROSS,
        _turned("self_attn.", "multihead_attn.") | TURNED,
        stacked=_attention("self_attn.", "self_attn.") | _attention("multihead_attn.", "cross_attn."),
    ),
}

WITH_NORMS = ("transformer_encoder_layer", "transformer_decoder_layer")
DEVIATIONS: dict[str, tuple[Deviation, ...]] = dict.fromkeys(WITH_NORMS, OF_LAYERS["layer_norm"])
