"""A convolutional autoencoder, in PaddlePaddle."""

import paddle.nn.functional as F
from paddle import Tensor, nn


class Encoder(nn.Layer):
    """Down by eight to a code."""

    def __init__(self, in_channels: int, width: int, code: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(in_channels, width, 3, stride=2, padding=1)
        self.gn = nn.GroupNorm(2, width)
        self.conv2 = nn.Conv2D(width, 2 * width, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2D(2 * width)
        self.pool = nn.AvgPool2D(3, 2, padding=1, exclusive=False)
        self.fc = nn.Linear(2 * width * 4 * 4, code)

    def forward(self, x: Tensor) -> Tensor:
        """The code."""
        x = F.leaky_relu(self.gn(self.conv1(x)), 0.2)
        x = self.pool(F.silu(self.bn(self.conv2(x))))
        return F.tanh(self.fc(x.flatten(1)))


class Decoder(nn.Layer):
    """Up again to an image."""

    def __init__(self, out_channels: int, width: int, code: int) -> None:
        super().__init__()
        self.width = width
        self.fc = nn.Linear(code, 2 * width * 4 * 4)
        self.deconv1 = nn.Conv2DTranspose(2 * width, 2 * width, 3, stride=2, padding=1, output_padding=1)
        self.bn = nn.BatchNorm2D(2 * width)
        self.deconv2 = nn.Conv2DTranspose(2 * width, width, 4, stride=2, padding=1)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv = nn.Conv2D(width, out_channels, 3, padding=1, padding_mode="reflect")

    def forward(self, code: Tensor) -> Tensor:
        """The image as logits."""
        x = self.fc(code).reshape([-1, 2 * self.width, 4, 4])
        x = F.leaky_relu(self.bn(self.deconv1(x)), 0.2)
        x = F.elu(self.deconv2(x))
        return self.conv(self.upsample(x))


class Autoencoder(nn.Layer):
    """Both halves."""

    def __init__(self, channels: int = 3, width: int = 8, code: int = 16) -> None:
        super().__init__()
        self.encoder = Encoder(channels, width, code)
        self.decoder = Decoder(channels, width, code)

    def forward(self, x: Tensor) -> Tensor:
        """The image once more, as logits."""
        return self.decoder(self.encoder(x))
