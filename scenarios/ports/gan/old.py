"""A generator and a discriminator of small images, in PyTorch."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Generator(nn.Module):
    """Noise to images of 8×8 points."""

    def __init__(self, noise: int = 10, width: int = 8) -> None:
        super().__init__()
        self.fc = nn.Linear(noise, 2 * width * 2 * 2)
        self.bn0 = nn.BatchNorm1d(2 * width * 2 * 2)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.up2 = nn.ConvTranspose2d(width, 1, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Images between −1 and 1."""
        x = F.relu(self.bn0(self.fc(z))).view(z.size(0), -1, 2, 2)
        x = F.relu(self.bn1(self.up1(x)))
        return torch.tanh(self.up2(x))


class Discriminator(nn.Module):
    """Images to a logit."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 4, 2, 1)
        self.conv2 = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.ln = nn.LayerNorm([2 * width, 2, 2])
        self.fc = nn.Linear(2 * width * 2 * 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """High for real, low for false."""
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.leaky_relu(self.ln(self.conv2(x)), 0.2)
        return self.fc(x.flatten(1))


class GAN(nn.Module):
    """Both in one."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = Generator()
        self.discriminator = Discriminator()

    def forward(self, z: Tensor) -> Tensor:
        """What the discriminator says of false images."""
        return self.discriminator(self.generator(z))


def train_step(model: GAN, loss: Any, optimizer: dict[str, torch.optim.Optimizer], batch: Any) -> dict[str, Tensor]:
    """A step of the discriminator, then one of the generator."""
    (real, z), _ = batch
    fake = model.generator(z)

    optimizer["d"].zero_grad()
    on_real = model.discriminator(real)
    on_fake = model.discriminator(fake.detach())
    d_loss = loss(on_real, torch.ones_like(on_real)) + loss(on_fake, torch.zeros_like(on_fake))
    d_loss.backward()
    optimizer["d"].step()

    optimizer["g"].zero_grad()
    score = model.discriminator(fake)
    g_loss = loss(score, torch.ones_like(score))
    g_loss.backward()
    optimizer["g"].step()
    return {"d": d_loss, "g": g_loss}
