"""A small BERT upon nn.TransformerEncoder, in PaddlePaddle."""

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


class BertEmbeddings(nn.Layer):
    """Tokens, positions and segments."""

    def __init__(self, vocab_size: int, max_position: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(max_position, hidden_size)
        self.token_type_embeddings = nn.Embedding(2, hidden_size)
        self.layer_norm = nn.LayerNorm(hidden_size, epsilon=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """The normalized sum."""
        position_ids = paddle.arange(input_ids.shape[1])
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.layer_norm(x + self.position_embeddings(position_ids)))


class BertForMaskedLM(nn.Layer):
    """The encoder, and a head whose last weights are those of the token embedding."""

    def __init__(
        self,
        vocab_size: int = 40,
        max_position: int = 12,
        hidden_size: int = 24,
        num_heads: int = 3,
        num_layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(vocab_size, max_position, hidden_size, dropout)
        layer = nn.TransformerEncoderLayer(
            hidden_size, num_heads, 4 * hidden_size, dropout, activation="gelu", act_dropout=0.0, layer_norm_eps=1e-12
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers)
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.layer_norm = nn.LayerNorm(hidden_size, epsilon=1e-12)
        self.decoder_bias = self.create_parameter([vocab_size], is_bias=True)

    def mask(self, attention_mask: Tensor) -> Tensor:
        """Zero where attention may go, very low elsewhere."""
        keep = attention_mask.astype(paddle.get_default_dtype())
        return (1.0 - keep.unsqueeze([1, 2])) * -1e9

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Scores of the tokens at each position."""
        x = self.embeddings(input_ids, token_type_ids)
        x = self.encoder(x, self.mask(attention_mask))
        x = self.layer_norm(F.gelu(self.transform(x)))
        return paddle.matmul(x, self.embeddings.word_embeddings.weight, transpose_y=True) + self.decoder_bias


def loss(out: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy at the masked positions."""
    total = F.cross_entropy(out, labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).astype(total.dtype).sum()  # the mean would count the ignored positions, too


def optimizer(model: nn.Layer) -> paddle.optimizer.Optimizer:
    """AdamW whose decay leaves out biases and norms."""
    decay = {p.name for n, p in model.named_parameters() if not n.endswith("bias") and "norm" not in n}
    return paddle.optimizer.AdamW(
        1e-3,
        epsilon=1e-6,
        parameters=model.parameters(),
        weight_decay=0.1,
        apply_decay_param_fun=lambda name: name in decay,
    )
