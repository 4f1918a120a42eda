"""A language model of two LSTM layers, in PaddlePaddle."""

from typing import Any

import paddle
from paddle import Tensor, nn


class LanguageModel(nn.Layer):
    """Embedding, LSTM, linear layer."""

    def __init__(self, vocab_size: int = 30, embed_dim: int = 16, hidden: int = 16, num_layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.lstm = nn.LSTM(embed_dim, hidden, num_layers)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(hidden, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the next token at each position."""
        hidden, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.fc(self.dropout(hidden))


def train_step(model: nn.Layer, criterion: Any, optimizer: paddle.optimizer.Optimizer, batch: Any) -> Tensor:
    """A step with clipped gradients."""
    tokens, targets = batch
    loss = criterion(model(tokens), targets)
    loss.backward()
    paddle.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
    optimizer.step()
    optimizer.clear_grad()
    return loss
