"""MobileNetV3 small, written from the paper, in PyTorch."""

import torch.nn.functional as F
from torch import Tensor, nn

# kernel, expanded channels, output channels, squeeze, activation, stride
SMALL = [
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
]


def divisible(channels: float, by: int = 8) -> int:
    """The channels rounded to a multiple, at most a tenth lower."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


class Unit(nn.Module):
    """A convolution, a batch normalization and an activation."""

    def __init__(
        self, i: int, o: int, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(o, eps=0.001, momentum=0.01)
        self.act = nn.Identity() if act is None else act()

    def forward(self, x: Tensor) -> Tensor:
        """One after the other."""
        return self.act(self.norm(self.conv(x)))


class Squeeze(nn.Module):
    """Channels weighted by what they hold on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = divisible(channels // 4)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.widen = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The weighted channels."""
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = F.hardsigmoid(self.widen(F.relu(self.reduce(scale))))
        return x * scale


class Bottleneck(nn.Module):
    """An inverted residual block."""

    def __init__(
        self, i: int, kernel: int, wide: int, o: int, squeeze: bool, act: type[nn.Module], stride: int
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and i == o
        self.expand = Unit(i, wide, 1, act=act) if wide != i else nn.Identity()
        self.depthwise = Unit(wide, wide, kernel, stride, groups=wide, act=act)
        self.squeeze = Squeeze(wide) if squeeze else nn.Identity()
        self.project = Unit(wide, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The block, with its input added where shapes allow."""
        out = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.residual else out


class MobileNetV3(nn.Module):
    """A stem, eleven bottlenecks, and a classifier."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = Unit(3, 16, 3, 2, act=nn.Hardswish)
        channels, bottlenecks = 16, []
        for kernel, wide, o, squeeze, act, stride in SMALL:
            bottlenecks.append(Bottleneck(channels, kernel, wide, o, squeeze, act, stride))
            channels = o
        self.bottlenecks = nn.ModuleList(bottlenecks)
        self.last = Unit(channels, 6 * channels, 1, act=nn.Hardswish)
        self.hidden = nn.Linear(6 * channels, 1024)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.stem(x)
        for bottleneck in self.bottlenecks:
            x = bottleneck(x)
        x = self.last(x).mean((2, 3))
        return self.output(self.dropout(F.hardswish(self.hidden(x))))
