"""How are PyTorch's layers of a transformer built?"""

from __future__ import annotations

from typing import Any

from isograd.backends.pytorch.rows.row import LayerRow, torch


def causal(places: int, seen: int) -> Any:
    """True where one of the seen places is after a place: it is not to be seen."""
    return torch.ones(places, seen, dtype=torch.bool).triu(1)


def _multi_head_attention(op: Any, *x: tuple[int, ...]) -> Any:
    class Outputs(torch.nn.MultiheadAttention):  # type: ignore[name-defined, misc]
        """Its outputs, without the shares."""

        def forward(self, z: Any, memory: Any = None) -> Any:
            """(B, places, features)."""
            memory = z if memory is None else memory
            mask = causal(z.shape[1], memory.shape[1]) if op.causal else None
            return super().forward(z, memory, memory, need_weights=False, attn_mask=mask)[0]

    return Outputs(x[0][1], op.heads, batch_first=True)


def _settings(op: Any, x: tuple[int, ...]) -> dict[str, Any]:
    sizes = {"d_model": x[1], "nhead": op.heads, "dim_feedforward": op.hidden, "dropout": 0.0, "batch_first": True}
    return sizes | {"activation": op.activation, "layer_norm_eps": op.epsilon, "norm_first": op.norm_first}


def _encoder(op: Any, x: tuple[int, ...]) -> Any:
    class Masked(torch.nn.TransformerEncoderLayer):  # type: ignore[name-defined, misc]
        """With the mask that its users give it, if any."""

        def forward(self, z: Any) -> Any:
            """(B, places, features)."""
            return super().forward(z, causal(z.shape[1], z.shape[1]) if op.causal else None)

    return Masked(**_settings(op, x))


def _decoder(op: Any, x: tuple[int, ...], memory: tuple[int, ...]) -> Any:
    class Causal(torch.nn.TransformerDecoderLayer):  # type: ignore[name-defined, misc]
        """With the mask that its users give it."""

        def forward(self, z: Any, memory: Any) -> Any:
            """(B, places, features)."""
            return super().forward(z, memory, tgt_mask=causal(z.shape[1], z.shape[1]))

    return Causal(**_settings(op, x))


LAYERS: dict[str, LayerRow] = {
    "multi_head_attention": LayerRow(_multi_head_attention),
    "transformer_encoder_layer": LayerRow(_encoder),
    "transformer_decoder_layer": LayerRow(_decoder),
}
