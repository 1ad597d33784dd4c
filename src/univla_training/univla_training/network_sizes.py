"""Sizes of all networks of a recipe; the defaults are those of the recipe `tiny`."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.errors import ConfigError
from univla_core.parameters import parameter

#: Side of a patch of both vision transformers [px].
PATCH_SIDE = 14


@dataclass(frozen=True, kw_only=True)
class DinoSizes:
    """The vision transformer in DINOv2's layout."""

    dim: int = parameter(128, 'Channels', low=8)
    depth: int = parameter(4, 'Blocks; the policy does not use the last one', low=2)
    heads: int = parameter(4, 'Attention heads', low=1)


@dataclass(frozen=True, kw_only=True)
class SiglipSizes:
    """The vision transformer in SigLIP's layout."""

    dim: int = parameter(64, 'Channels', low=8)
    depth: int = parameter(2, 'Blocks; the policy does not use the last one', low=2)
    heads: int = parameter(2, 'Attention heads', low=1)


@dataclass(frozen=True, kw_only=True)
class LlamaSizes:
    """The language model."""

    hidden: int = parameter(128, 'Channels', low=8)
    mlp: int = parameter(344, 'Channels inside the feed-forward layers', low=8)
    layers: int = parameter(4, 'Layers', low=1)
    heads: int = parameter(4, 'Attention heads', low=1)
    tied: bool = parameter(True, 'The output layer reads the token embeddings')


@dataclass(frozen=True, kw_only=True)
class LamSizes:
    """The latent action model."""

    model_dim: int = parameter(128, 'Channels', low=8)
    latent_dim: int = parameter(32, 'Dimensions of a code in the codebook', low=1)
    encoder_blocks: int = parameter(3, 'Spatio-temporal blocks', low=1)
    decoder_blocks: int = parameter(3, 'Spatial blocks', low=1)
    heads: int = parameter(4, 'Attention heads', low=1)
    num_codes: int = parameter(16, 'Codes in the codebook', low=2)
    dino_dim: int = parameter(0, "Channels of the DINOv2 it sees; 0 takes the policy's", low=0)
    dino_depth: int = parameter(0, 'Blocks of that DINOv2; 0 as above', low=0)
    dino_heads: int = parameter(0, 'Heads of that DINOv2; 0 as above', low=0)


@dataclass(frozen=True, kw_only=True)
class TextEncoderSizes:
    """The T5 text encoder that stage 1 of the latent action model reads."""

    dim: int = parameter(64, 'Channels', low=8)
    layers: int = parameter(2, 'Layers', low=1)
    heads: int = parameter(2, 'Attention heads', low=1)


@dataclass(frozen=True, kw_only=True)
class HeadSizes:
    """A decoder head."""

    embed_dim: int = parameter(128, 'Channels', low=8)
    blocks: int = parameter(2, 'Layers of a `query` head', low=1)
    heads: int = parameter(4, 'Attention heads', low=1)


@dataclass(frozen=True, kw_only=True)
class NetworkSizes:
    """All of them; `image_side` is the picture that policy and latent action model see [px]."""

    image_side: int = parameter(112, 'Side of the picture of the policy [px]', low=28)
    lam_image_side: int = parameter(
        112, "Picture side that the latent action model's positions are stored for [px]", low=28
    )
    dino: DinoSizes = DinoSizes()
    siglip: SiglipSizes = SiglipSizes()
    llama: LlamaSizes = LlamaSizes()
    lam: LamSizes = LamSizes()
    text: TextEncoderSizes = TextEncoderSizes()
    head: HeadSizes = HeadSizes()

    @property
    def lam_dino(self) -> DinoSizes:
        """Sizes of the DINOv2 that the latent action model sees."""
        lam = self.lam
        return DinoSizes(
            dim=lam.dino_dim or self.dino.dim,
            depth=lam.dino_depth or self.dino.depth,
            heads=lam.dino_heads or self.dino.heads,
        )

    def check(self, where: str) -> None:
        """Refuse sizes that do not belong together.

        Raises:
            ConfigError: Naming them.
        """
        for name in ('image_side', 'lam_image_side'):
            if getattr(self, name) % PATCH_SIDE:
                raise ConfigError(
                    f'{where}: {name} is {getattr(self, name)}; it must be a multiple of the '
                    f'patch side {PATCH_SIDE}'
                )
        widths = {
            'dino': (self.dino.dim, self.dino.heads),
            'siglip': (self.siglip.dim, self.siglip.heads),
            'llama': (self.llama.hidden, self.llama.heads),
            'lam': (self.lam.model_dim, self.lam.heads),
            "lam's dino": (self.lam_dino.dim, self.lam_dino.heads),
            'text': (self.text.dim, self.text.heads),
            'head': (self.head.embed_dim, self.head.heads),
        }
        for name, (dim, heads) in widths.items():
            if dim % heads:
                raise ConfigError(
                    f'{where}: {name} has {dim} channels for {heads} heads; '
                    'the heads must divide the channels'
                )
