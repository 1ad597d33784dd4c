"""The policy's forward passes as training needs them: states at the codes, batches of plans."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from univla_models.univla_network import NEW_TOKENS
from univla_models.univla_network import UnivlaNetwork

from univla_training.prompting import TextBatch


@dataclass(frozen=True, kw_only=True)
class States:
    """Hidden states of a batch.

    Attributes:
        latent: Those that predict the codes, (batch, 4, dim); planning has the same.
        visual: The first ones, over start and patches, (batch, patches, dim).
    """

    latent: Tensor
    visual: Tensor


def code_states(network: UnivlaNetwork, pixels: Tensor, text: TextBatch) -> States:
    """Hidden states of pictures with prompts that already hold their codes.

    Args:
        network: The policy's network.
        pixels: Shape (batch, 6, side, side).
        text: Prompts with at least the first three codes.
    """
    hidden = network(pixels, text.ids, text.keep)  # (batch, patches + text, dim)
    patches = network.config.num_patches
    places = patches + text.start[:, None] + torch.arange(NEW_TOKENS, device=hidden.device)
    rows = torch.arange(len(hidden), device=hidden.device)[:, None]
    return States(latent=hidden[rows, places], visual=hidden[:, :patches])


def code_logits(network: UnivlaNetwork, latent: Tensor, allowed: Tensor) -> Tensor:
    """Logits of the allowed tokens, (batch, 4, allowed)."""
    return F.linear(latent, network.language_model.lm_head.weight[allowed]).float()


@torch.inference_mode()
def plan_batch(
    network: UnivlaNetwork,
    pixels: Tensor,
    ids: Tensor,
    allowed: Tensor,
    codes: Tensor | None = None,
) -> tuple[Tensor, States]:
    """Greedy plans of a batch whose prompts are equally long; equals `UnivlaNetwork.generate`.

    Args:
        network: The policy's network.
        pixels: Shape (batch, 6, side, side).
        ids: Prompts, (batch, text).
        allowed: Token ids of the codes, (num_codes,).
        codes: Codes to say instead of the network's own choice, (batch, 4).

    Returns:
        Codes (batch, 4) and the states that chose them.
    """
    from transformers import DynamicCache

    cache = DynamicCache()
    model = network.language_model.model
    hidden = network(pixels, ids, cache=cache)
    states = [hidden[:, -1]]
    chosen: list[Tensor] = []
    while True:
        if codes is None:
            choice = code_logits(network, states[-1], allowed).argmax(dim=-1)
        else:
            choice = codes[:, len(chosen)]
        chosen.append(choice)
        if len(chosen) == NEW_TOKENS:
            break
        step = model(
            inputs_embeds=model.embed_tokens(allowed[choice])[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        states.append(step.last_hidden_state[:, -1])
    visual = hidden[:, : network.config.num_patches]
    return torch.stack(chosen, dim=1), States(latent=torch.stack(states, dim=1), visual=visual)
