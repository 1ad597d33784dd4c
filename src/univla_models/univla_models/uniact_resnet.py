"""ResNet-18 without its pooling: the pictures that UniAct's heads look at.

Names and layout are those of timm's `resnet18`. Source: arXiv:1512.03385.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor
from torch import nn

from univla_models.image_processor import ImageProcessor

CHANNELS = (64, 128, 256, 512)
SIDE = 224
#: Tokens of one view: a picture of 224 px, 32 times smaller.
TOKENS_PER_VIEW = (SIDE // 32) ** 2
#: Squashes a picture to 224 px and normalises it by the moments of ImageNet.
PROCESSOR = ImageProcessor(
    strategy='resize-naive',
    means=((0.485, 0.456, 0.406),),
    stds=((0.229, 0.224, 0.225),),
    size=SIDE,
)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) → (batch, outputs, height / stride, width / stride)."""
        kept = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + kept)


class ResNet18(nn.Module):
    """Features of pictures; batch norms run on the batch's own statistics in train mode.

    Args:
        channels: Width of each of the four stages.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = (channels[0], *channels)
        for stage, width in enumerate(channels):
            stride = 1 if stage == 0 else 2
            blocks = nn.Sequential(Block(inputs[stage], width, stride), Block(width, width, 1))
            setattr(self, f'layer{stage + 1}', blocks)
        self.num_stages = len(channels)
        self.dim = channels[-1]

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 3, 224, 224) → feature maps (batch, dim, 7, 7)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(pictures))))
        for stage in range(self.num_stages):
            x = getattr(self, f'layer{stage + 1}')(x)
        return x

    def tokens(self, views: Tensor) -> Tensor:
        """(batch, views, 3, 224, 224) → row-major tokens (batch, views, 49, dim)."""
        maps = self(views.flatten(0, 1))  # (batch · views, dim, 7, 7)
        return maps.flatten(2).transpose(1, 2).unflatten(0, views.shape[:2])


def resnet_channels(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Width of each stage, from the shapes of its tensors.

    Raises:
        KeyError: If a stage is missing.
    """
    return tuple(shapes[f'layer{stage}.0.conv1.weight'][0] for stage in (1, 2, 3, 4))


def use_frame_statistics(backbone: ResNet18) -> None:
    """Let batch norms run on the pictures at hand, as the original evaluates.

    Unlike there, these pictures do not seep into the statistics of training.
    """
    backbone.train()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
