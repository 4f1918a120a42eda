"""The classifier of three hidden layers, in PaddlePaddle."""

import paddle.nn.functional as F
from paddle import Tensor, nn


class MLP(nn.Layer):
    """Three hidden layers, each with an activation of its own."""

    def __init__(self, in_dim: int = 12, hidden_dim: int = 32, num_classes: int = 5, dropout: float = 0.1) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, hidden_dim)
        self.linear3 = nn.Linear(hidden_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, num_classes)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.drop(F.gelu(self.linear1(x)))
        x = self.drop(F.tanh(self.linear2(x)))
        x = self.drop(F.relu(self.linear3(x)))
        return self.head(x)
