"""The policy's forward pass on text that already holds its codes, as training runs it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from univla_models.prompts import EOS_ID
from univla_models.univla_network import UnivlaNetwork

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class TeacherForced:
    """What fine-tuning reads from one pass.

    Attributes:
        logits: Over the vocabulary at every text position, (batch, text, vocabulary); position
            i predicts text token i + 1.
        loss: Cross-entropy over the labelled tokens.
        latent: Hidden states at the action tokens' own positions, (batch, 4, dim). Planning has
            no such states: there they are those of the positions before.
        visual: The first 256 hidden states, (batch, 256, dim).
    """

    logits: Tensor
    loss: Tensor
    latent: Tensor
    visual: Tensor


def teacher_forced(
    network: UnivlaNetwork, pixels: Tensor, ids: Tensor, labels: Tensor, keep: Tensor
) -> TeacherForced:
    """Run the policy on prompts with their codes.

    Args:
        network: The policy's network.
        pixels: Shape (batch, 6, 224, 224).
        ids: Prompt, codes and end of sequence, right padded, (batch, text).
        labels: The ids to predict, `IGNORED` elsewhere, (batch, text).
        keep: False where `ids` is padding, (batch, text).
    """
    hidden = network(pixels, ids, keep)  # (batch, 256 + text, dim)
    patches = hidden.shape[1] - ids.shape[1]
    text = hidden[:, patches:]  # text token i > 0 stands at position patches + i
    logits = network.language_model.lm_head(text).float()
    loss = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
    )
    codes = (labels != IGNORED) & (labels != EOS_ID)
    latent = torch.stack([row[chosen] for row, chosen in zip(text, codes, strict=True)])
    return TeacherForced(logits=logits, loss=loss, latent=latent, visual=hidden[:, :patches])
