"""A small GPT, in PaddlePaddle."""

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


class Attention(nn.Layer):
    """Attention to what came before."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = hidden_size // num_heads
        self.qkv_proj = nn.Linear(hidden_size, 3 * hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, heads before positions."""
        b, t, _ = x.shape
        return tuple(
            part.reshape([b, t, self.num_heads, self.head_dim]).transpose([0, 2, 1, 3])
            for part in paddle.chunk(self.qkv_proj(x), 3, axis=-1)
        )

    def mask(self, t: int) -> Tensor:
        """Zero where attention may go, minus infinity at what is to come."""
        return paddle.triu(paddle.full([t, t], float("-inf")), diagonal=1)

    def forward(self, x: Tensor) -> Tensor:
        """What each position takes from itself and those before it."""
        q, k, v = self.heads(x)
        scores = paddle.matmul(q, k, transpose_y=True) / math.sqrt(self.head_dim)
        weights = F.softmax(scores + self.mask(x.shape[1]), axis=-1)
        out = paddle.matmul(weights, v).transpose([0, 2, 1, 3])
        return self.out_proj(out.reshape(x.shape))


class DecoderLayer(nn.Layer):
    """Norms before attention and feed-forward."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size)
        self.self_attn = Attention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.linear1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.linear2 = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """One layer."""
        x = x + self.self_attn(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate=True))


class GPTForCausalLM(nn.Layer):
    """A decoder whose head is tied to the token embedding."""

    def __init__(
        self,
        vocab_size: int = 32,
        max_position: int = 10,
        num_layers: int = 2,
        num_heads: int = 2,
        hidden_size: int = 16,
    ) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(max_position, hidden_size)
        self.layers = nn.LayerList([DecoderLayer(hidden_size, num_heads) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(hidden_size)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Tokens and positions."""
        return self.word_embeddings(input_ids) + self.position_embeddings(paddle.arange(input_ids.shape[1]))

    def head(self, x: Tensor) -> Tensor:
        """Scores from the weights of the token embedding."""
        return paddle.matmul(x, self.word_embeddings.weight, transpose_y=True)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Scores of the next token at each position."""
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def warmup_cosine(step: int) -> float:
    """Two steps of warmup, then a cosine to step ten."""
    return (step + 1) / 3 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 8))
