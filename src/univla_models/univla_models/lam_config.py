"""Sizes of the latent action model and of its text encoder."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TextSizes:
    """Sizes of the T5 text encoder; defaults are T5-base."""

    d_model: int = 768
    d_kv: int = 64
    d_ff: int = 3072
    num_layers: int = 12
    num_heads: int = 12
    vocab_size: int = 32128


@dataclass(frozen=True, kw_only=True)
class LamConfig:
    """Sizes of a latent action model; defaults are the released ones.

    Attributes:
        stage: 1 (with language) or 2 (the labeller).
        dino_image_size: Picture side for which DINOv2's position table was stored [px].
        normalize_latent: Bring every vector to zero mean and unit variance before its code is
            looked up; the released models do not, small ones train more steadily with it.
    """

    stage: int = 2
    model_dim: int = 768
    latent_dim: int = 128
    num_codes: int = 16
    num_uncontrolled_codes: int = 16
    encoder_blocks: int = 12
    decoder_blocks: int = 12
    num_heads: int = 12
    dino_dim: int = 768
    dino_depth: int = 12
    dino_heads: int = 12
    dino_image_size: int = 518
    normalize_latent: bool = False
    text: TextSizes = TextSizes()

    def __post_init__(self) -> None:
        """Refuse a stage that does not exist."""
        if self.stage not in (1, 2):
            raise ConfigError(f'latent action model has stages 1 and 2, not {self.stage}')
