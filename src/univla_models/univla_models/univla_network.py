"""UniVLA's vision-language model: two vision transformers, a projector and Llama.

Source: arXiv:2505.06111; released code `prismatic/extern/hf/modeling_prismatic.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import CheckpointError

from univla_models.llama import build_llama
from univla_models.llama import llama_settings
from univla_models.projector import FusedProjector
from univla_models.vision import VisionTransformer
from univla_models.vision import VitConfig
from univla_models.vision import dino_config
from univla_models.vision import siglip_config

NEW_TOKENS = 4
VIT_LAYOUTS: dict[str, Callable[..., VitConfig]] = {
    'vit_large_patch14_reg4_dinov2.lvd142m': dino_config,
    'vit_so400m_patch14_siglip_224': siglip_config,
}
PROJECTOR = 'fused-gelu-mlp'
VIT_SIZES = ('timm_kwargs', 'fixture_timm_kwargs')


@dataclass(frozen=True, kw_only=True)
class UnivlaConfig:
    """Sizes of the network, from a released `config.json`."""

    vision: tuple[VitConfig, VitConfig]
    llama: Mapping[str, Any]

    @property
    def hidden_dim(self) -> int:
        """Dimension of the language model."""
        return int(self.llama['hidden_size'])

    @property
    def num_patches(self) -> int:
        """Patches of one picture."""
        return self.vision[0].stored_grid ** 2

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> UnivlaConfig:
        """Read the parsed `config.json`.

        The timm ids imply the sizes of the released vision transformers; smaller checkpoints
        list theirs under `timm_kwargs` (`embed_dim`, `depth`, `num_heads`, `img_size`).

        Raises:
            CheckpointError: If it describes another architecture.
        """
        if values.get('model_type', 'openvla') != 'openvla':
            raise CheckpointError(
                f'{where}: model_type is {values["model_type"]!r}; it must be openvla'
            )
        specifier = values.get('arch_specifier', PROJECTOR)
        if not specifier.endswith(PROJECTOR):
            raise CheckpointError(
                f'{where}: arch_specifier is {specifier!r}; only {PROJECTOR} is supported'
            )
        ids = values.get('timm_model_ids', list(VIT_LAYOUTS))
        if list(ids) != list(VIT_LAYOUTS):
            raise CheckpointError(
                f'{where}: timm_model_ids {ids} are unknown; supported is {list(VIT_LAYOUTS)}'
            )
        sizes: Any = next((values[name] for name in VIT_SIZES if name in values), ({}, {}))
        names = {
            'embed_dim': 'dim',
            'depth': 'depth',
            'num_heads': 'num_heads',
            'img_size': 'image_size',
        }
        try:
            first, second = (
                VIT_LAYOUTS[timm_id](**{names[key]: int(size) for key, size in given.items()})
                for timm_id, given in zip(ids, sizes, strict=True)
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f'{where}: unusable vision sizes {sizes}: {error!r}') from error
        if first.stored_grid != second.stored_grid:
            raise CheckpointError(
                f'{where}: the vision transformers see {first.stored_grid} and '
                f'{second.stored_grid} patches a side; give both the same img_size'
            )
        return cls(
            vision=(first, second), llama=llama_settings(values.get('text_config', {}), where)
        )


@dataclass(frozen=True)
class Generated:
    """Tokens of one plan and what produced them.

    Attributes:
        tokens: Chosen token ids.
        probabilities: Probability of each, among the tokens that were allowed.
        logits: One row per token over the allowed tokens, (4, allowed).
        prefill: Hidden states of picture and prompt, (256 + prompt, dim).
        latent: Hidden states that predicted the tokens, (4, dim).
        visual: The first 256 hidden states, (256, dim).
    """

    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    logits: Tensor
    prefill: Tensor
    latent: Tensor
    visual: Tensor


class VisionBackbone(nn.Module):
    """DINOv2 and SigLIP on the same picture, their features side by side."""

    def __init__(self, configs: tuple[VitConfig, VitConfig]) -> None:
        super().__init__()
        self.featurizer = VisionTransformer(configs[0])
        self.fused_featurizer = VisionTransformer(configs[1])

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 6, 224, 224) → (batch, 256, dim of both)."""
        first, second = pixels.split(3, dim=1)
        return torch.cat([self.featurizer(first), self.fused_featurizer(second)], dim=2)


class TiedHead(nn.Module):
    """Output layer that reads the input embeddings and has no weights of its own."""

    def __init__(self, embeddings: nn.Embedding) -> None:
        super().__init__()
        self._embeddings = (embeddings,)  # in a tuple, not to be a sub-module twice

    @property
    def weight(self) -> Tensor:
        """Shape (vocabulary, dim)."""
        return self._embeddings[0].weight

    def forward(self, states: Tensor) -> Tensor:
        """(…, dim) → (…, vocabulary)."""
        return F.linear(states, self.weight)


class UnivlaNetwork(nn.Module):
    """Picture and prompt → hidden states, and the four tokens that follow."""

    language_model: Any  # transformers.LlamaForCausalLM

    def __init__(self, config: UnivlaConfig, attention: str = 'sdpa') -> None:
        super().__init__()
        self.config = config
        first, second = config.vision
        self.vision_backbone = VisionBackbone(config.vision)
        self.projector = FusedProjector(first.dim + second.dim, config.hidden_dim)
        self.language_model = build_llama(config.llama, attention)
        if config.llama['tie_word_embeddings']:
            self.language_model.lm_head = TiedHead(self.language_model.model.embed_tokens)

    def forward(
        self, pixels: Tensor, ids: Tensor, keep: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """Hidden states after the final norm, over [BOS, patches, rest of the text].

        Args:
            pixels: Shape (batch, 6, 224, 224).
            ids: Shape (batch, prompt), beginning-of-sequence first.
            keep: False where `ids` is right padding, shape (batch, prompt).
            cache: Key-value cache of transformers, filled in place.

        Returns:
            Shape (batch, 256 + prompt, dim).
        """
        patches = self.projector(self.vision_backbone(pixels))  # (batch, 256, dim)
        embedded = self.language_model.model.embed_tokens(ids)  # (batch, prompt, dim)
        sequence = torch.cat([embedded[:, :1], patches, embedded[:, 1:]], dim=1)
        if keep is not None:
            seen = torch.ones(patches.shape[:2], dtype=keep.dtype, device=keep.device)
            keep = torch.cat([keep[:, :1], seen, keep[:, 1:]], dim=1)
        return self.language_model.model(
            inputs_embeds=sequence,
            attention_mask=keep,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def generate(
        self,
        pixels: Tensor,
        ids: Tensor,
        allowed: Tensor | None,
        choose: Callable[[Tensor], int],
        banned: tuple[int, ...] = (),
    ) -> Generated:
        """Plan four tokens.

        One pass over picture and prompt, then one step for each of the first three tokens; only
        the last position's logits are computed, and only for the allowed tokens.

        Args:
            pixels: Shape (1, 6, 224, 224).
            ids: Shape (1, prompt).
            allowed: Token ids to choose from, None for the whole vocabulary.
            choose: Picks an index from the logits of the allowed tokens.
            banned: Indices that may never be chosen (end of sequence).
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        model = self.language_model.model
        head = self.language_model.lm_head.weight
        head = head if allowed is None else head[allowed]  # (allowed, dim)
        prefill = self(pixels, ids, cache=cache)[0]  # (256 + prompt, dim)
        states, logits = [prefill[-1]], []
        chosen: list[int] = []
        while True:
            row = (head @ states[-1]).float()
            row[list(banned)] = -torch.inf
            logits.append(row)
            chosen.append(choose(row))
            if len(chosen) == NEW_TOKENS:
                break
            token = ids.new_tensor([[self._id(allowed, chosen[-1])]])
            step = model(
                inputs_embeds=model.embed_tokens(token), past_key_values=cache, use_cache=True
            )
            states.append(step.last_hidden_state[0, -1])
        table = torch.stack(logits)  # (4, allowed)
        shares = torch.softmax(table, dim=-1)[torch.arange(NEW_TOKENS), chosen]
        return Generated(
            tokens=tuple(self._id(allowed, index) for index in chosen),
            probabilities=tuple(shares.tolist()),
            logits=table,
            prefill=prefill,
            latent=torch.stack(states),
            visual=prefill[: self.config.num_patches],
        )

    def is_unused(self, name: str) -> bool:
        """Whether a released tensor of this name never affects the output."""
        for part in ('featurizer', 'fused_featurizer'):
            prefix = f'vision_backbone.{part}.'
            if name.startswith(prefix):
                return getattr(self.vision_backbone, part).is_unused(name.removeprefix(prefix))
        return False

    @staticmethod
    def _id(allowed: Tensor | None, index: int) -> int:
        return index if allowed is None else int(allowed[index])
