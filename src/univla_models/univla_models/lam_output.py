"""What one pass of the latent action model computes, and the losses in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COMMITMENT = 0.25


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """One branch of codes.

    Attributes:
        emb: Encoder output before quantisation, (batch, 4, latent_dim).
        z: Chosen codes, (batch, 4, latent_dim).
        indices: Their numbers, (batch, 4).
    """

    emb: Tensor
    z: Tensor
    indices: Tensor

    @property
    def passed(self) -> Tensor:
        """The codes as the decoder gets them; a gradient goes straight through to `emb`."""
        if not self.emb.requires_grad:
            return self.z
        return self.emb + (self.z - self.emb).detach()

    @property
    def loss(self) -> Tensor:
        """Mean squared distance to the codes; quantisation and commitment loss in value."""
        return torch.mean((self.emb - self.z) ** 2)

    @property
    def training_loss(self) -> Tensor:
        """Pulls the codes to the encoder and, weaker, the encoder to its codes."""
        pull = torch.mean((self.emb.detach() - self.z) ** 2)
        return pull + COMMITMENT * torch.mean((self.emb - self.z.detach()) ** 2)


@dataclass(frozen=True, kw_only=True)
class LamOutput:
    """Everything one pass computes.

    Attributes:
        patches: DINOv2 features, (batch, 2, patches, dino_dim).
        encoded: Encoder output, (batch, 2, tokens, model_dim).
        codes: The codes; in stage 2 the labels.
        uncontrolled: Stage 2: codes of what the task does not control.
        decoded: Decoder output, (batch, 1, tokens, dino_dim).
        recon: Predicted features of the last frame, (batch, 1, patches, dino_dim).
    """

    patches: Tensor
    encoded: Tensor
    codes: Quantized
    uncontrolled: Quantized | None
    decoded: Tensor
    recon: Tensor

    @property
    def target(self) -> Tensor:
        """Features of the last frame, (batch, 1, patches, dino_dim)."""
        return self.patches[:, -1:]

    @property
    def reconstruction_loss(self) -> Tensor:
        """Mean squared error of the predicted features."""
        return torch.mean((self.recon - self.target) ** 2)

    @property
    def loss(self) -> Tensor:
        """Value of the training loss."""
        branches = [branch for branch in (self.codes, self.uncontrolled) if branch is not None]
        quantisation = sum(((1.0 + COMMITMENT) * branch.loss for branch in branches), start=0.0)
        return self.reconstruction_loss + quantisation
