"""A convolutional autoencoder, in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Down by eight to a code, and up again."""

    def __init__(self, channels: int = 3, width: int = 8, code: int = 16) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(2, width)
        self.down2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.pool = nn.AvgPool2d(3, 2, padding=1)
        self.code = nn.Linear(2 * width * 4 * 4, code)
        self.decode = nn.Linear(code, 2 * width * 4 * 4)
        self.up1 = nn.ConvTranspose2d(2 * width, 2 * width, 3, stride=2, padding=1, output_padding=1)
        self.norm3 = nn.BatchNorm2d(2 * width)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.smooth = nn.Conv2d(width, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """The image once more, as logits."""
        x = F.leaky_relu(self.norm1(self.down1(x)), 0.2)
        x = self.pool(F.silu(self.norm2(self.down2(x))))
        x = torch.tanh(self.code(x.flatten(1)))
        x = self.decode(x).view(x.size(0), -1, 4, 4)
        x = F.leaky_relu(self.norm3(self.up1(x)), 0.2)
        x = F.elu(self.up2(x))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.smooth(x)
