"""Sizes and settings of the unified VLA: the section `unified` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.errors import ConfigError
from univla_core.parameters import parameter
from univla_models.unified_vla_tokens import NUM_VISUAL

from univla_training.trainer_settings import TrainerSettings


@dataclass(frozen=True, kw_only=True)
class UnifiedSizes:
    """Sizes of language model and vision tokenizer; the picture's is `network.image_side`."""

    hidden: int = parameter(128, 'Channels of the language model', low=8)
    mlp: int = parameter(344, 'Channels inside its feed-forward layers', low=8)
    layers: int = parameter(4, 'Layers', low=1)
    heads: int = parameter(4, 'Attention heads', low=1)
    kv_heads: int = parameter(4, 'Heads of keys and values', low=1)
    positions: int = parameter(1024, 'Longest sequence', low=64)
    visual_codes: int = parameter(
        512, "Codes of the vision tokenizer's book", low=2, high=NUM_VISUAL
    )
    vision_channels: int = parameter(32, 'Channels of the vision tokenizer, times 32', low=32)
    vision_blocks: int = parameter(0, 'Residual blocks on each of its levels', low=0)
    action_ids: int = parameter(256, 'FAST ids', low=16)
    action_scale: float = parameter(10.0, 'Factor before coefficients are rounded', low=1.0)

    def check(self, where: str) -> None:
        """Refuse sizes that do not belong together.

        Raises:
            ConfigError: Naming them.
        """
        if self.hidden % self.heads or self.heads % self.kv_heads:
            raise ConfigError(
                f'{where}: {self.hidden} channels, {self.heads} heads and {self.kv_heads} heads '
                'of keys and values; each must divide the one before'
            )
        if self.vision_channels % 32:
            raise ConfigError(f'{where}: vision_channels must be a multiple of 32')


@dataclass(frozen=True, kw_only=True)
class UnifiedVisionSettings(TrainerSettings):
    """What stands in for Emu3's vision tokenizer."""

    base: str = parameter('', 'Folder of a vision tokenizer to take instead')
    scenes: int = parameter(5000, 'Rendered scenes to learn from', low=1)
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')
    commitment: float = parameter(0.25, 'Weight of the commitment loss', low=0.0)
    see: float = parameter(0.1, 'Weight of telling what is where from the codes', low=0.0)


@dataclass(frozen=True, kw_only=True)
class UnifiedPretrainingSettings(TrainerSettings):
    """What stands in for Emu3's pretraining: pointing in rendered scenes."""

    steps: int = parameter(0, 'Optimiser steps; 0 skips the stage', low=0)
    scenes: int = parameter(5000, 'Rendered scenes to point at', low=1)
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')


@dataclass(frozen=True, kw_only=True)
class WorldModelSettings(TrainerSettings):
    """World-model training: the words, then frames one after the other; no actions."""

    base: str = parameter('', 'Folder of a language model to start from; empty: fresh weights')
    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    tasks: list[str] = parameter([], 'Tasks to learn from; empty takes those of the data')
    frames: int = parameter(2, 'Frames of a sequence', low=2)
    interval: int = parameter(5, 'Frames of the policy clock between two of them', low=1)
    vision_weight: float = parameter(1.0, 'Weight of visual ids', low=0.0)
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )


@dataclass(frozen=True, kw_only=True)
class UnifiedPolicySettings(TrainerSettings):
    """Policy fine-tuning: observations and what was done on them, as FAST ids."""

    robots: list[str] = parameter([], 'Arms to learn from; empty takes those of the data')
    tasks: list[str] = parameter([], 'Tasks to learn from; empty takes those of the data')
    video: bool = parameter(False, 'Whether a sequence holds the step before, too')
    learn_vision: bool = parameter(False, 'Learn the pictures beside the actions')
    label_spread: float = parameter(
        0.0, 'Spread of labels over neighbouring coefficients; 0 as the original', low=0.0
    )
    vision_weight: float = parameter(0.5, 'Weight of visual ids', low=0.0)
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )


@dataclass(frozen=True, kw_only=True)
class UnifiedRecipe:
    """Sizes and stages of the unified VLA."""

    network: UnifiedSizes = UnifiedSizes()
    vision: UnifiedVisionSettings = UnifiedVisionSettings()
    pretraining: UnifiedPretrainingSettings = UnifiedPretrainingSettings()
    world_model: WorldModelSettings = WorldModelSettings()
    policy: UnifiedPolicySettings = UnifiedPolicySettings()
