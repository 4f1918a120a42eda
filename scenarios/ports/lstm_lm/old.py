"""A language model of two LSTM layers, in PyTorch."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RNNModel(nn.Module):
    """Embedding, LSTM, linear layer."""

    def __init__(self, ntoken: int = 30, ninp: int = 16, nhid: int = 16, nlayers: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.decoder = nn.Linear(nhid, ntoken)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the next token at each position."""
        output, _ = self.rnn(self.drop(self.encoder(tokens)))
        return self.decoder(self.drop(output))


def loss(output: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy over all positions."""
    return F.cross_entropy(output.view(-1, output.size(-1)), targets.reshape(-1))


def train_step(model: nn.Module, criterion: Any, optimizer: torch.optim.Optimizer, batch: Any) -> Tensor:
    """A step with clipped gradients."""
    tokens, targets = batch
    optimizer.zero_grad()
    value = criterion(model(tokens), targets)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
    optimizer.step()
    return value
