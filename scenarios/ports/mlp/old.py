"""A classifier of three hidden layers, in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLP(nn.Module):
    """Three hidden layers, each with an activation of its own."""

    def __init__(self, features: int = 12, hidden: int = 32, classes: int = 5, dropout: float = 0.1) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.dropout(F.gelu(self.fc1(x)))
        x = self.dropout(torch.tanh(self.fc2(x)))
        x = self.dropout(F.relu(self.fc3(x)))
        return self.out(x)
