"""UniAct's shared network: extractor, codebook and the backbone that heads look through."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError

from univla_models.checkpoint_files import TensorAudit
from univla_models.checkpoint_files import read_torch_file
from univla_models.uniact_codebook import GumbelCodebook
from univla_models.uniact_extractor import LM_HEAD
from univla_models.uniact_extractor import Extractor
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_resnet import CHANNELS
from univla_models.uniact_resnet import ResNet18
from univla_models.uniact_resnet import resnet_channels

#: The released base model, converted or as it is, and a training checkpoint of the original.
BASE_FILES = ('basemodel.safetensors', 'basemodel.pt', 'mp_rank_00_model_states.pt')
EMBED = 'universal_actions_codebook.embed.weight'


class UniactNetwork(nn.Module):
    """What all heads share, under the released names.

    Args:
        config: Sizes of the extractor.
        num_codes, dim: Size of the codebook.
        channels: Widths of the backbone's stages.
        attention: Attention of transformers.
    """

    def __init__(
        self,
        config: ExtractorConfig,
        num_codes: int = 256,
        dim: int = 128,
        channels: tuple[int, ...] = CHANNELS,
        attention: str = 'sdpa',
    ) -> None:
        super().__init__()
        self.ua_extractor = Extractor(config, attention)
        self.universal_actions_codebook = GumbelCodebook(config.hidden_dim, num_codes, dim)
        self.vision_backbone = ResNet18(channels)

    def logits(self, pixels: Tensor, ids: Tensor, keep: Tensor | None = None) -> Tensor:
        """What speaks for each universal action, (batch, codes); arguments as `Extractor`."""
        return self.universal_actions_codebook(self.ua_extractor(pixels, ids, keep))

    @staticmethod
    def is_unused(name: str) -> bool:
        """Whether a stored tensor is no part of what is computed here.

        The language model's output layer chooses words; heads (`interpreter.*`) of a training
        checkpoint are loaded as decoders.
        """
        return name == f'ua_extractor.{LM_HEAD}' or name.startswith('interpreter.')


def load_network(
    path: Path,
    config: ExtractorConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str = 'sdpa',
) -> UniactNetwork:
    """Build the network of a released file and fill it, strictly.

    Args:
        path: One of `BASE_FILES`.
        config: Sizes of the extractor; those of codebook and backbone are read off the file.
        device: Where to put it.
        dtype: Precision of the weights; the backbone stays in float32 with its statistics.
        attention: Attention of transformers.

    Raises:
        CheckpointError: Naming every tensor that is missing, unexpected, misshapen or not finite.
    """
    state = read_state(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    backbone = {
        name.removeprefix('vision_backbone.'): shape
        for name, shape in shapes.items()
        if name.startswith('vision_backbone.')
    }
    try:
        num_codes, dim = shapes[EMBED]
        channels = resnet_channels(backbone)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f'{path}: cannot size the network, {error} is missing or misshapen; load the base '
            'model of UniAct here, heads are decoders'
        ) from error
    with torch.device('meta'):
        network = UniactNetwork(config, num_codes, dim, channels, attention)
    fill(network, state, str(path), device=device, dtype=dtype)
    network.ua_extractor.restore_buffers(device)
    return network


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a released file by their released names; nothing in it is executed.

    Raises:
        CheckpointError: If it is missing, damaged or holds something else.
    """
    if path.suffix != '.safetensors':
        content: Mapping[str, Any] = read_torch_file(path)
        content = content.get('module', content)  # DeepSpeed's training checkpoints nest it
        if not all(isinstance(value, Tensor) for value in content.values()):
            raise CheckpointError(f'{path}: holds more than tensors; save its state_dict alone')
        return dict(content)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f'{path}: truncated or no safetensors file ({error}); copy it again'
        ) from error


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Give a network on the meta device exactly these tensors; see `load_network`."""
    audit = TensorAudit(network, UniactNetwork.is_unused)
    fitting = {}
    for name, tensor in state.items():
        if not audit.wants(name, tuple(tensor.shape), Path(where).name):
            continue
        if not torch.isfinite(tensor).all():
            audit.note(f'{name} holds NaN or infinity')
        fitting[name] = _placed(name, tensor, device, dtype)
    audit.finish(where)
    network.load_state_dict(fitting, strict=False, assign=True)


def _placed(name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.to(device)
    return tensor.to(
        device=device, dtype=torch.float32 if name.startswith('vision_backbone.') else dtype
    )


def base_file(folder: Path) -> Path:
    """The base model in a checkpoint folder.

    Raises:
        CheckpointError: If there is none.
    """
    for name in BASE_FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f'{folder}: holds none of {", ".join(BASE_FILES)}; copy the base model of UniAct there'
    )
