"""Emu3's vision tokenizer: pictures as codes of a 32768-word book, and back.

The network is transformers' `Emu3VQVAE`; files are read in the layout in which
`BAAI/Emu3-VisionTokenizer` was released, whose names and attention weights differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError

from univla_models.checkpoint_files import load_folder
from univla_models.checkpoint_files import load_state
from univla_models.checkpoint_files import read_json

DECODER_PARTS = ('decoder.', 'post_quant_conv.')
# Released field → transformers' field, and the released default.
_FIELDS: dict[str, tuple[str, Any]] = {
    'codebook_size': ('codebook_size', 32768),
    'embed_dim': ('embed_dim', 4),
    'z_channels': ('latent_channels', 4),
    'double_z': ('double_latent', False),
    'in_channels': ('in_channels', 3),
    'out_channels': ('out_channels', 3),
    'temporal_downsample_factor': ('temporal_downsample_factor', 4),
    'ch': ('base_channels', 256),
    'ch_mult': ('channel_multiplier', [1, 2, 2, 4]),
    'num_res_blocks': ('num_res_blocks', 2),
    'attn_resolutions': ('attn_resolutions', [3]),
}
# Our name → released name, in this order.
_NAMES = (
    (r'(down|up)_block\.(?:down|up)\.', r'\1.'),
    (r'\.attn_norms\.(\d+)\.', r'.attn.\1.norm.'),
    (r'middle_block\.attn_norm\.', 'mid.attn_1.norm.'),
    (r'middle_block\.', 'mid.'),
    (r'(attn(?:\.|_)\d+)\.([qkv])_proj\.', r'\1.\2.'),
    (r'(attn(?:\.|_)\d+)\.out_proj\.', r'\1.proj_out.'),
)
_POINTWISE = re.compile(r'attn(?:\.|_)\d+\.(?:[qkv]|proj_out)\.weight$')


class Emu3Vision:
    """Encodes pictures to codes and decodes codes to pictures.

    Args:
        network: An `Emu3VQVAE` with its weights; without its decoder it only encodes.
    """

    def __init__(self, network: Any) -> None:
        self.network = network.eval().requires_grad_(False)
        self.factor = 2 ** (len(network.config.channel_multiplier) - 1)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        decodes: bool = False,
    ) -> Emu3Vision:
        """Load a released folder, strictly.

        Args:
            folder: Holds `config.json` and safetensors.
            device: Where to.
            dtype: Precision; the original encodes in that of the file.
            decodes: Whether the decoder is wanted; without, its tensors may be there or not.

        Raises:
            CheckpointError: If a file or tensor is missing, unexpected or does not fit.
        """
        values = read_json(folder / 'config.json')
        network = build_vision(values, str(folder / 'config.json'), decodes=decodes)
        released: Any = ReleasedLayout(network)
        load_folder(released, folder, device=device, dtype=dtype, is_unused=_unused(decodes))
        return cls(network)

    @classmethod
    def from_state(
        cls,
        values: Mapping[str, Any],
        state: Mapping[str, Tensor],
        where: str,
        *,
        decodes: bool = False,
    ) -> Emu3Vision:
        """Make one from tensors under released names, as strictly.

        Raises:
            CheckpointError: If one does not fit.
        """
        network = build_vision(values, where, decodes=decodes)
        network.to_empty(device='cpu')
        released: Any = ReleasedLayout(network)
        load_state(released, state, where, _unused(decodes))
        return cls(network)

    @torch.inference_mode()
    def latent(self, pixels: Tensor) -> Tensor:
        """What is quantised, (batch, frames / 4, 4, rows, columns).

        Args:
            pixels: (batch, 3, height, width) for stills, which are repeated to fill the four
                frames of one code frame, or (batch, frames, 3, height, width).
        """
        if pixels.shape[-1] % self.factor or pixels.shape[-2] % self.factor:
            raise ObservationError(
                f'a picture of {pixels.shape[-2]} x {pixels.shape[-1]} cannot be encoded; its '
                f'sides must be multiples of {self.factor}'
            )
        return latents(self.network, pixels)

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Codes, int64: (batch, rows, columns) of stills, else with an axis of frames second."""
        codes = self.network.quantize(self.latent(pixels))
        return codes[:, 0] if pixels.ndim == 4 else codes

    def codes(self, pixels: Tensor) -> Tensor:
        """Codes (rows, columns) of the pixel values (3, height, width) of one still."""
        weight = self.network.quantize.embedding.weight
        return self.encode(pixels[None].to(device=weight.device, dtype=weight.dtype))[0]

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Pixels in about [-1, 1] of codes as `encode` gives them; the same axes as its input.

        Raises:
            CheckpointError: If it was loaded without its decoder.
            ObservationError: If a code is outside the book.
        """
        if not hasattr(self.network, 'decoder'):
            raise CheckpointError(
                'this vision tokenizer was loaded without its decoder; load it with decodes=True'
            )
        size = self.network.config.codebook_size
        if codes.numel() and (codes.min() < 0 or codes.max() >= size):
            raise ObservationError(f'a visual code lies outside 0 … {size - 1}')
        return self.network.decode(codes)


def latents(network: Any, pixels: Tensor) -> Tensor:
    """As `Emu3Vision.latent`, with gradients where they are wanted.

    Args:
        network: An `Emu3VQVAE`.
        pixels: Stills (batch, 3, height, width) or clips (batch, frames, 3, height, width).
    """
    encoder = network.encoder
    if pixels.ndim == 4:
        # What looks at single frames sees equal ones: it needs to look at one of them only.
        frames = network.config.temporal_downsample_factor
        hidden = _single_frames(encoder, pixels)[:, :, None].expand(-1, -1, frames, -1, -1)
    else:
        flat = _single_frames(encoder, pixels.flatten(0, 1))
        hidden = flat.unflatten(0, pixels.shape[:2]).transpose(1, 2)
    for layer in encoder.time_conv:  # (batch, channels, frames, rows, columns)
        hidden = F.silu(layer(hidden))
    for layer in encoder.time_res_stack:
        hidden = layer(hidden)
    return network.quant_conv(hidden).transpose(1, 2)


def _single_frames(encoder: Any, pixels: Tensor) -> Tensor:
    """(pictures, 3, height, width) → (pictures, channels, rows, columns)."""
    hidden = encoder.middle_block(encoder.down_block(encoder.conv_in(pixels)))
    return encoder.conv_out(F.silu(encoder.norm_out(hidden)))


class ReleasedLayout:
    """A network as the released files name and shape its tensors."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._ours = {released_name(name): name for name in network.state_dict()}

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by released name, in released shape."""
        state = self._network.state_dict()
        return {
            released: state[ours][..., None, None] if _POINTWISE.search(released) else state[ours]
            for released, ours in self._ours.items()
        }

    def load_state_dict(
        self, state: Mapping[str, Tensor], strict: bool = False, assign: bool = False
    ) -> None:
        """Take over tensors by released name."""
        renamed = {
            self._ours[name]: value[..., 0, 0] if _POINTWISE.search(name) else value
            for name, value in state.items()
        }
        self._network.load_state_dict(renamed, strict=strict, assign=assign)


def released_name(name: str) -> str:
    """Name in the released files of a tensor of `Emu3VQVAE`."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def build_vision(values: Mapping[str, Any], where: str, *, decodes: bool) -> Any:
    """An `Emu3VQVAE` on the meta device from a released `config.json`.

    Raises:
        CheckpointError: If its sizes are unusable.
    """
    from transformers import Emu3VQVAEConfig
    from transformers.models.emu3.modeling_emu3 import Emu3VQVAE

    sizes = {ours: values.get(name, default) for name, (ours, default) in _FIELDS.items()}
    try:
        channels = sizes['base_channels'] * sizes['channel_multiplier'][-1]
        with torch.device('meta'):
            network: Any = Emu3VQVAE(
                Emu3VQVAEConfig(**sizes, hidden_size=channels, num_attention_heads=1)
            )
    except (TypeError, ValueError, IndexError) as error:
        raise CheckpointError(
            f'{where}: unusable sizes of a vision tokenizer ({error})'
        ) from error
    if not decodes:
        del network.decoder, network.post_quant_conv
    return network


def _unused(decodes: bool) -> Any:
    return lambda name: not decodes and name.startswith(DECODER_PARTS)
