"""A tagger with a bidirectional GRU, in PaddlePaddle."""

import paddle.nn.functional as F
from paddle import Tensor, nn


class GRUTagger(nn.Layer):
    """Embedding, GRU in both directions, linear layer."""

    def __init__(self, vocab_size: int = 50, num_tags: int = 7, emb_dim: int = 12, hidden_size: int = 10) -> None:
        super().__init__()
        self.word_emb = nn.Embedding(vocab_size, emb_dim)
        self.bigru = nn.GRU(emb_dim, hidden_size, direction="bidirect")
        self.layer_norm = nn.LayerNorm(2 * hidden_size)
        self.drop = nn.Dropout(0.3)
        self.output = nn.Linear(2 * hidden_size, num_tags)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the tags of each word."""
        states, _ = self.bigru(self.word_emb(words), sequence_length=lengths)
        return self.output(self.drop(self.layer_norm(states)))


def loss(scores: Tensor, tags: Tensor) -> Tensor:
    """Cross entropy over the words that are there."""
    return F.cross_entropy(scores, tags, ignore_index=0)
