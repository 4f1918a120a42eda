"""A tagger with a bidirectional GRU, in PyTorch."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    """Embedding, GRU in both directions, linear layer."""

    def __init__(self, words: int = 50, tags: int = 7, width: int = 12, hidden: int = 10) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.gru = nn.GRU(width, hidden, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.dropout = nn.Dropout(0.3)
        self.tag = nn.Linear(2 * hidden, tags)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the tags of each word."""
        packed = pack_padded_sequence(self.embed(words), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=words.size(1))
        return self.tag(self.dropout(self.norm(states)))


def loss(scores: Tensor, tags: Tensor) -> Tensor:
    """Cross entropy over the words that are there."""
    return F.cross_entropy(scores.transpose(1, 2), tags, ignore_index=0)
