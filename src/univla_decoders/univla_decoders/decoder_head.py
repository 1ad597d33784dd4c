"""What every decoder head is: sizes, and a chunk from latent action, picture and body."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch import nn

from univla_decoders.map_block import MapBlockConfig

LATENT_TOKENS = 4


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Sizes of a decoder head.

    Attributes:
        kind: A key of `HEADS`.
        horizon: Actions per chunk as the head predicts them.
        action_dim: Dimensions of one predicted action.
        pool: Sizes of the attention pooling; a `query` head has `num_latents` layers, and a
            head of UniAct is as wide as `embed_dim`, with hidden layers of `hidden_dim`.
        proprioception_dim: Size of the proprioception vector, 0 without one.
        visual: Whether the head looks at the visual tokens.
        latent_tokens: Fewest latent tokens that it reads.
        visual_tokens: Visual tokens that it reads, from the first one; 0 for all.
        visual_dim: Their dimension; 0 if it is that of the latent tokens.
        layers: Layers of encoder and decoder of a `uniact_act` head.
        pointing: Whether a `query` head reads off what the policy points at.
    """

    kind: str
    horizon: int
    action_dim: int
    pool: MapBlockConfig
    proprioception_dim: int = 0
    visual: bool = True
    latent_tokens: int = LATENT_TOKENS
    visual_tokens: int = 0
    visual_dim: int = 0
    layers: tuple[int, int] = (0, 0)
    pointing: bool = False


class DecoderHead(nn.Module):
    """What every head offers: `forward(latent, visual, proprioception)` → chunk.

    Attributes:
        clips: Whether un-normalised actions are kept within the extremes of the training data.
    """

    clips = False

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config

    def _chunk(self, flat: Tensor) -> Tensor:
        # (batch, horizon · action_dim), step-major → (batch, horizon, action_dim)
        return flat.view(-1, self.config.horizon, self.config.action_dim)
