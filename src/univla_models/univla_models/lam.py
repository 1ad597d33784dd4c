"""The latent action model: which code turned one frame into the other?

Stage 1 learns codes for whatever changes, with the instruction at hand; stage 2 learns codes for
what the task changes, beside those. Stage 2 is the labeller: its codes are the targets of the
policy.

Source: arXiv:2505.06111; released code `latent_action_model/genie/modules/lam.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError

from univla_models.checkpoint_files import load_state
from univla_models.checkpoint_files import read_torch_file
from univla_models.checkpoint_files import tensors_below
from univla_models.device import resolve_device
from univla_models.lam_blocks import SpaceBlock
from univla_models.lam_blocks import SpaceTimeBlock
from univla_models.lam_blocks import Transformer
from univla_models.lam_blocks import VectorQuantizer
from univla_models.lam_config import LamConfig
from univla_models.lam_config import TextSizes
from univla_models.lam_output import LamOutput
from univla_models.lam_output import Quantized
from univla_models.vision import VisionTransformer
from univla_models.vision import hub_dino_config

ACTION_TOKENS = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class LatentActionModel(nn.Module):
    """Frame pair → codes → features of the second frame.

    Args:
        config: Sizes.
        official_mask: Stage 1 with more than one sample: give row r of the encoder the language
            mask of sample r mod batch, as the released training did, instead of its own.
    """

    def __init__(self, config: LamConfig, *, official_mask: bool = False) -> None:
        super().__init__()
        self.config = config
        self.official_mask = official_mask
        dim, dino, latent = config.model_dim, config.dino_dim, config.latent_dim
        self.dino_encoder = VisionTransformer(
            hub_dino_config(dino, config.dino_depth, config.dino_heads, config.dino_image_size)
        )
        self.action_latent = nn.Parameter(torch.empty(1, 1, ACTION_TOKENS, dino).uniform_(-1, 1))
        heads = config.num_heads
        self.encoder = Transformer(SpaceTimeBlock, config.encoder_blocks, heads, (dino, dim, 0))
        self.decoder = Transformer(SpaceBlock, config.decoder_blocks, heads, (dim, dim, dino))
        self.to_codebook = nn.Linear(dim, latent)
        self.patch_up = nn.Linear(dino, dim)
        self.action_up = nn.Linear(latent, dim)
        codes = config.num_codes if config.stage == 1 else config.num_uncontrolled_codes
        self.vq = VectorQuantizer(codes, latent)
        if config.stage == 1:
            self.text_encoder = _text_encoder(config.text)
            self.lang_proj = nn.Linear(config.text.d_model, dim)
        else:
            self.action_latent_controllable = nn.Parameter(torch.empty_like(self.action_latent))
            nn.init.uniform_(self.action_latent_controllable, -1, 1)
            self.to_codebook_uncontrol = nn.Linear(dim, latent)
            self.action_up_uncontrol = nn.Linear(latent, dim)
            self.vq_action = VectorQuantizer(config.num_codes, latent)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        config: LamConfig,
        *,
        device: str = 'auto',
        official_mask: bool = False,
    ) -> LatentActionModel:
        """Load a Lightning checkpoint, strictly and without executing anything in it.

        Raises:
            CheckpointError: If it is damaged or a tensor does not fit; tensors are named.
        """
        target = resolve_device(device)
        content = read_torch_file(Path(path))
        state = dict(tensors_below(content.get('state_dict', {}), 'lam.'))
        if not state:
            raise CheckpointError(
                f'{path}: has no tensors lam.* under state_dict; give the Lightning checkpoint of '
                'a latent action model'
            )
        model = cls(config, official_mask=official_mask)
        renamed = {_our_name(name): tensor for name, tensor in state.items()}
        load_state(model, renamed, str(path), lambda name: name == 'dino_encoder.mask_token')
        return model.eval().requires_grad_(False).to(target)

    @torch.inference_mode()
    def label(self, frames: np.ndarray) -> np.ndarray:
        """Codes of frame pairs.

        Args:
            frames: RGB uint8, shape (batch, 2, height, width, 3), sides multiples of 14.

        Returns:
            Codes, int32, shape (batch, 4); the batch axis stays for a single pair.

        Raises:
            ShapeError: If the frames have another shape.
            ConfigError: If this is stage 1, whose codes need the instruction.
        """
        if self.config.stage != 2:
            raise ConfigError('labels come from stage 2; load the stage-2 checkpoint')
        shape = frames.shape
        if frames.dtype != np.uint8 or len(shape) != 5 or shape[1] != 2 or shape[4] != 3:
            raise ShapeError(f'frames are {frames.dtype} {shape}; give uint8 (batch, 2, h, w, 3)')
        if shape[2] % 14 or shape[3] % 14:
            raise ShapeError(f'frames of {shape[2]} x {shape[3]}; sides must be multiples of 14')
        device = self.action_latent.device
        videos = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
        videos = videos.permute(0, 1, 4, 2, 3).float() / 255.0
        return self.codes(self.features(videos)).cpu().numpy().astype(np.int32)

    def codes(self, patches: Tensor) -> Tensor:
        """Stage 2: codes (batch, 4) from the frames' features (batch, 2, patches, dino_dim)."""
        return self._quantize(self._encode(patches, None, None))[0].indices

    def forward(
        self,
        videos: Tensor,
        text: tuple[Tensor, Tensor] | None = None,
    ) -> LamOutput:
        """Code a frame pair and predict the second frame's features from the first.

        Args:
            videos: RGB in [0, 1], shape (batch, 2, 3, height, width).
            text: Stage 1: T5 token ids of the instruction and their mask (1 for words, 0 for
                padding), each (batch, words).

        Raises:
            ConfigError: If stage 1 is given no text.
        """
        return self.predict(self.features(videos), text)

    def predict(self, patches: Tensor, text: tuple[Tensor, Tensor] | None = None) -> LamOutput:
        """As `forward`, from the frames' features (batch, 2, patches, dino_dim)."""
        language = keep = None
        if self.config.stage == 1:
            if text is None:
                raise ConfigError('stage 1 reads the instruction; give its T5 ids and mask')
            language = self.lang_proj(self.text_states(*text))
            seen = text[1].new_ones(len(patches), ACTION_TOKENS + patches.shape[2])
            keep = torch.cat([seen, text[1]], dim=1) > 0  # (batch, tokens + words)
        encoded = self._encode(patches, language, keep)
        codes, uncontrolled = self._quantize(encoded)
        actions = [self.action_up(codes.passed)]
        if uncontrolled is not None:
            actions.append(self.action_up_uncontrol(uncontrolled.passed))
        first = self.patch_up(patches[:, 0])  # (batch, patches, dim)
        tokens = torch.cat([*actions, first], dim=1)[:, None]  # (batch, 1, tokens, dim)
        decoded = self.decoder(tokens, language, keep)
        start = tokens.shape[2] - patches.shape[2]
        recon = decoded[:, :, start : start + patches.shape[2]]
        return LamOutput(
            patches=patches,
            encoded=encoded,
            codes=codes,
            uncontrolled=uncontrolled,
            decoded=decoded,
            recon=recon,
        )

    def features(self, videos: Tensor) -> Tensor:
        """DINOv2 patch features, (batch, 2, patches, dino_dim), of frames in [0, 1]."""
        mean, std = (videos.new_tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        frames = ((videos - mean) / std).flatten(0, 1)  # (batch · 2, 3, height, width)
        patches = self.dino_encoder(frames)
        return patches.view(len(videos), -1, *patches.shape[1:])

    def text_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """T5 states of the instruction, (batch, words, d_model)."""
        return self.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state

    def _encode(self, patches: Tensor, language: Tensor | None, keep: Tensor | None) -> Tensor:
        batch, frames = patches.shape[:2]
        learned: list[Tensor] = [self.action_latent]
        if self.config.stage == 2:
            learned.insert(0, self.action_latent_controllable)
        learned = [tokens.expand(batch, frames, -1, -1) for tokens in learned]
        rows = None
        if keep is not None:  # one row per sample and frame, frames innermost
            rows = (
                keep.repeat(frames, 1)
                if self.official_mask
                else keep.repeat_interleave(frames, dim=0)
            )
        return self.encoder(torch.cat([*learned, patches], dim=2), language, rows)

    def _quantize(self, encoded: Tensor) -> tuple[Quantized, Quantized | None]:
        last = encoded[:, 1]  # (batch, tokens, dim)
        first = self._normalized(self.to_codebook(last[:, :ACTION_TOKENS]))
        if self.config.stage == 1:
            return _nearest(self.vq, first), None
        second = self.to_codebook_uncontrol(last[:, ACTION_TOKENS : 2 * ACTION_TOKENS])
        second = self._normalized(second)
        return _nearest(self.vq_action, first), _nearest(self.vq, second)

    def _normalized(self, vectors: Tensor) -> Tensor:
        if not self.config.normalize_latent:
            return vectors
        return F.layer_norm(vectors, vectors.shape[-1:])


def _nearest(quantizer: VectorQuantizer, emb: Tensor) -> Quantized:
    z, indices = quantizer(emb)
    return Quantized(emb=emb, z=z, indices=indices)


def _text_encoder(sizes: TextSizes) -> nn.Module:
    from transformers import T5Config
    from transformers import T5EncoderModel

    settings: Mapping[str, Any] = vars(sizes)
    return T5EncoderModel(
        T5Config(
            **settings,
            relative_attention_num_buckets=32,
            relative_attention_max_distance=128,
            layer_norm_epsilon=1e-6,
            feed_forward_proj='relu',
            dropout_rate=0.0,
        )
    )


def _our_name(name: str) -> str:
    """Our name of a released tensor: hub DINOv2 calls two things differently than timm."""
    if not name.startswith('dino_encoder.'):
        return name
    return name.replace('.gamma', '.scale_factor').replace('register_tokens', 'reg_token')
