"""LeNet with batch normalization, in PaddlePaddle."""

import paddle
from paddle import Tensor, nn


class LeNet(nn.Layer):
    """Two convolutions and three linear layers."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2D(1, 6, 5, padding=2),
            nn.BatchNorm2D(6),
            nn.ReLU(),
            nn.MaxPool2D(2),
            nn.Conv2D(6, 16, 5),
            nn.BatchNorm2D(16),
            nn.ReLU(),
            nn.MaxPool2D(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the digits."""
        return self.classifier(paddle.flatten(self.features(x), 1))
