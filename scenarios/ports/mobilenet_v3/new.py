"""MobileNetV3 small as PaddlePaddle brings it."""

from paddle import nn
from paddle.vision.models import mobilenet_v3_small


def build(num_classes: int = 10) -> nn.Layer:
    """The network without the published weights."""
    return mobilenet_v3_small(pretrained=False, num_classes=num_classes)
