"""A generator and a discriminator of small images, in PaddlePaddle."""

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


class Generator(nn.Layer):
    """Noise to images of 8×8 points."""

    def __init__(self, latent_dim: int = 10, ngf: int = 8) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(latent_dim, 2 * ngf * 2 * 2), nn.BatchNorm1D(2 * ngf * 2 * 2), nn.ReLU())
        self.main = nn.Sequential(
            nn.Conv2DTranspose(2 * ngf, ngf, 4, 2, 1, bias_attr=False),
            nn.BatchNorm2D(ngf),
            nn.ReLU(),
            nn.Conv2DTranspose(ngf, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Images between −1 and 1."""
        return self.main(self.project(z).reshape([z.shape[0], -1, 2, 2]))


class Discriminator(nn.Layer):
    """Images to a logit."""

    def __init__(self, ndf: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(1, ndf, 4, 2, 1)
        self.conv2 = nn.Conv2D(ndf, 2 * ndf, 4, 2, 1)
        self.norm = nn.LayerNorm([2 * ndf, 2, 2])
        self.classifier = nn.Linear(2 * ndf * 2 * 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """High for real, low for false."""
        x = F.leaky_relu(self.conv1(x), negative_slope=0.2)
        x = F.leaky_relu(self.norm(self.conv2(x)), negative_slope=0.2)
        return self.classifier(paddle.flatten(x, 1))


class GAN(nn.Layer):
    """Both in one."""

    def __init__(self) -> None:
        super().__init__()
        self.net_g = Generator()
        self.net_d = Discriminator()

    def forward(self, z: Tensor) -> Tensor:
        """What the discriminator says of false images."""
        return self.net_d(self.net_g(z))


def optimizers(model: GAN) -> dict[str, paddle.optimizer.Optimizer]:
    """One for each half."""
    return {
        "d": paddle.optimizer.Adam(2e-3, beta1=0.5, beta2=0.999, parameters=model.net_d.parameters()),
        "g": paddle.optimizer.Adam(2e-3, beta1=0.5, beta2=0.999, parameters=model.net_g.parameters()),
    }


def train_step(
    model: GAN, loss: Any, optimizer: dict[str, paddle.optimizer.Optimizer], batch: Any
) -> dict[str, Tensor]:
    """A step of the discriminator, then one of the generator."""
    (real, z), _ = batch
    fake = model.net_g(z)

    optimizer["d"].clear_grad()
    on_real = model.net_d(real)
    on_fake = model.net_d(fake.detach())
    d_loss = loss(on_real, paddle.ones_like(on_real)) + loss(on_fake, paddle.zeros_like(on_fake))
    d_loss.backward()
    optimizer["d"].step()

    optimizer["g"].clear_grad()
    score = model.net_d(fake)
    g_loss = loss(score, paddle.ones_like(score))
    g_loss.backward()
    optimizer["g"].step()
    return {"d": d_loss, "g": g_loss}
