"""ResNet-18 as PaddlePaddle brings it."""

from paddle import nn
from paddle.vision.models import resnet18


def build(num_classes: int = 10) -> nn.Layer:
    """The network without the published weights."""
    return resnet18(pretrained=False, num_classes=num_classes)
