"""UniAct's extractor: LLaVA-OneVision with one picture as a video of one frame.

The parts are those of transformers; they are put together here, under the names of the released
checkpoint, because transformers has renamed its own whole more than once.

Source: arXiv:2501.10105; LLaVA-OneVision, arXiv:2408.03326.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError

from univla_models.llama import ATTENTIONS

LM_HEAD = 'language_model.lm_head.weight'
# What config.json may omit, as transformers 4.47 had it.
TEXT_DEFAULTS: dict[str, Any] = {
    'vocab_size': 152000,
    'hidden_size': 896,
    'intermediate_size': 4864,
    'num_hidden_layers': 24,
    'num_attention_heads': 14,
    'num_key_value_heads': 2,
    'hidden_act': 'silu',
    'max_position_embeddings': 32768,
    'rms_norm_eps': 1e-6,
    'attention_dropout': 0.0,
}
ROPE_THETA = 1e6
VISION_DEFAULTS: dict[str, Any] = {
    'hidden_size': 1152,
    'intermediate_size': 4304,
    'num_hidden_layers': 26,
    'num_attention_heads': 16,
    'num_channels': 3,
    'image_size': 384,
    'patch_size': 14,
    'hidden_act': 'gelu_pytorch_tanh',
    'layer_norm_eps': 1e-6,
    'attention_dropout': 0.0,
}


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """Sizes of the extractor, from the `config.json` of LLaVA-OneVision.

    Attributes:
        text: Settings of Qwen2, without its rotary base.
        vision: Settings of SigLIP.
        rope_theta: Rotary base of Qwen2.
        video_token: Token that stands where the picture goes.
    """

    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    rope_theta: float
    video_token: int

    @property
    def hidden_dim(self) -> int:
        """Dimension of the language model."""
        return int(self.text['hidden_size'])

    @property
    def grid(self) -> int:
        """Patches along one side of the picture."""
        return int(self.vision['image_size']) // int(self.vision['patch_size'])

    @property
    def pooled(self) -> int:
        """The same after the picture's features were resized."""
        return math.ceil(self.grid / 2)

    @property
    def num_video_tokens(self) -> int:
        """Tokens that one frame and the closing newline take in the prompt."""
        return self.pooled**2 + 1

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> ExtractorConfig:
        """Read the parsed `config.json`.

        Raises:
            CheckpointError: If it describes another architecture.
        """
        text, vision = values.get('text_config') or {}, values.get('vision_config') or {}
        for name, found, known in (
            ('model_type', values.get('model_type', 'llava_onevision'), 'llava_onevision'),
            ('text_config.model_type', text.get('model_type', 'qwen2'), 'qwen2'),
            ('vision_feature_layer', values.get('vision_feature_layer', -1), -1),
            (
                'vision_feature_select_strategy',
                values.get('vision_feature_select_strategy', 'full'),
                'full',
            ),
            ('projector_hidden_act', values.get('projector_hidden_act', 'gelu'), 'gelu'),
            ('text_config.rope_scaling', text.get('rope_scaling'), None),
            ('text_config.use_sliding_window', text.get('use_sliding_window', False), False),
            ('vision_config.vision_use_head', vision.get('vision_use_head', False), False),
        ):
            if found != known:
                raise CheckpointError(
                    f'{where}: {name} is {found!r}; the UniAct loader reproduces only {known!r}'
                )
        rope = text.get('rope_parameters') or {}
        token = values.get('video_token_index', values.get('video_token_id', 151647))
        return cls(
            text={name: text.get(name, value) for name, value in TEXT_DEFAULTS.items()},
            vision={name: vision.get(name, value) for name, value in VISION_DEFAULTS.items()},
            rope_theta=float(text.get('rope_theta', rope.get('rope_theta', ROPE_THETA))),
            video_token=int(token),
        )


class Projector(nn.Module):
    """From SigLIP's dimension to the language model's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inputs, outputs)
        self.linear_2 = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return self.linear_2(F.gelu(self.linear_1(x)))


class Extractor(nn.Module):
    """Picture and prompt → the one state from which a universal action is chosen.

    Args:
        config: Sizes.
        attention: Attention of transformers; all compute the same.
    """

    def __init__(self, config: ExtractorConfig, attention: str = 'sdpa') -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ConfigError(
                f'unknown attention {attention!r}; choose one of {", ".join(ATTENTIONS)}'
            )
        self.config = config
        self.image_newline = nn.Parameter(torch.empty(config.hidden_dim))
        self.vision_tower = nn.ModuleDict({'vision_model': _siglip(config, attention)})
        self.multi_modal_projector = Projector(config.vision['hidden_size'], config.hidden_dim)
        self.language_model = nn.ModuleDict({'model': _qwen2(config, attention)})
        if not self.image_newline.is_meta:
            nn.init.normal_(self.image_newline, std=config.hidden_dim**-0.5)

    def forward(self, pixels: Tensor, ids: Tensor, keep: Tensor | None = None) -> Tensor:
        """The state at the last attended position of each sample, after the final norm.

        Args:
            pixels: One frame per sample, (batch, 3, side, side), in [-1, 1].
            ids: Prompts with the video token repeated, (batch, prompt).
            keep: 0 where `ids` is padding, on either side; (batch, prompt).

        Returns:
            Shape (batch, hidden).
        """
        if keep is None:
            keep = torch.ones_like(ids)
        states = self.states(self.video_tokens(pixels), ids, keep)
        return states[torch.arange(len(ids), device=ids.device), last_attended(keep)]

    def states(self, video: Tensor, ids: Tensor, keep: Tensor) -> Tensor:
        """States at every position, after the final norm, (batch, prompt, hidden).

        Args:
            video: What stands for the picture, (batch, pooled² + 1, hidden).
            ids: As `forward`.
            keep: As `forward`.
        """
        language: Any = self.language_model['model']
        embedded = language.embed_tokens(ids)  # (batch, prompt, hidden)
        place = (ids == self.config.video_token)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(place, video.flatten(0, 1).to(embedded.dtype))
        return language(
            inputs_embeds=embedded, attention_mask=keep, use_cache=False
        ).last_hidden_state

    def video_tokens(self, pixels: Tensor) -> Tensor:
        """(batch, 3, side, side) → (batch, pooled² + 1, hidden): the patches, then the newline."""
        return self.pooled(self.multi_modal_projector(self.patches(pixels)))

    def patches(self, pixels: Tensor) -> Tensor:
        """What SigLIP sees in each patch, (batch, grid², vision)."""
        tower: Any = self.vision_tower['vision_model']
        # Before SigLIP's last norm, which LLaVA-OneVision stores and does not use.
        return tower.encoder(inputs_embeds=tower.embeddings(pixels)).last_hidden_state

    def pooled(self, tokens: Tensor) -> Tensor:
        """Projected patches (batch, grid², hidden), resized, and the newline behind them."""
        grid, pooled = self.config.grid, self.config.pooled
        maps = tokens.transpose(1, 2).unflatten(2, (grid, grid))
        maps = F.interpolate(maps, size=(pooled, pooled), mode='bilinear')
        newline = self.image_newline.expand(len(tokens), 1, -1)
        return torch.cat([maps.flatten(2).transpose(1, 2), newline], dim=1)

    def restore_buffers(self, device: torch.device) -> None:
        """Compute what is no weight and was built on the meta device.

        Raises:
            ConfigError: If transformers computes other rotary frequencies than Qwen2's.
        """
        language: Any = self.language_model['model']
        tower: Any = self.vision_tower['vision_model']
        embeddings = tower.embeddings
        embeddings.position_ids = torch.arange(embeddings.num_positions, device=device)[None]
        with torch.device(device):
            language.rotary_emb = type(language.rotary_emb)(config=language.config)
        head_dim = self.config.hidden_dim // int(self.config.text['num_attention_heads'])
        exponents = torch.arange(0, head_dim, 2, device=device).float() / head_dim
        if not torch.allclose(language.rotary_emb.inv_freq, self.config.rope_theta**-exponents):
            raise ConfigError(
                'this version of transformers computes other rotary frequencies than Qwen2 was '
                'trained with; install a version listed in the package requirements'
            )


def last_attended(keep: Tensor) -> Tensor:
    """Index of the last position that is attended to; (batch, prompt) → (batch,)."""
    positions = torch.arange(keep.shape[1], device=keep.device)
    return (positions * (keep != 0)).argmax(dim=1)


def _siglip(config: ExtractorConfig, attention: str) -> Any:
    from transformers import SiglipVisionConfig
    from transformers import SiglipVisionModel

    settings: Any = SiglipVisionConfig(**config.vision, vision_use_head=False)
    settings._attn_implementation = attention
    model: Any = SiglipVisionModel(settings)
    return getattr(model, 'vision_model', model)  # older versions nest it


def _qwen2(config: ExtractorConfig, attention: str) -> Any:
    import transformers

    sizes: dict[str, Any] = dict(config.text)
    if int(transformers.__version__.split('.')[0]) >= 5:
        sizes['rope_parameters'] = {'rope_type': 'default', 'rope_theta': config.rope_theta}
    else:
        sizes['rope_theta'] = config.rope_theta
    settings: Any = transformers.Qwen2Config(**sizes)
    settings._attn_implementation = attention
    return transformers.Qwen2Model(settings)
