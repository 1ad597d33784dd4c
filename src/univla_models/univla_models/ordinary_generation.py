"""UniVLA's four codes by the ordinary ways to generate: baselines for `bench policy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from univla_models.prompts import build_prompt

_CODES = 4


def ordinary_ways(
    policy: Any, picture: np.ndarray, instruction: str
) -> dict[str, Callable[[], np.ndarray]]:
    """Ways to say the codes of one plan, from the camera's picture on.

    `official way` keeps what transformers kept when the policy was published: logits of the whole
    vocabulary at every position, hidden states of every layer. `generate` is that of the present
    version, `without a cache` passes the whole sequence for each code. All may say codes only, so
    that they say the same.

    Args:
        policy: A `UnivlaPolicy`.
        picture: uint8 RGB.
        instruction: The task in words.
    """
    from transformers import DynamicCache

    allowed = policy.tokenizer.action_ids
    prompt = build_prompt(instruction, None, policy.preset.history)
    ids = torch.tensor([policy.tokenizer.plan_ids(prompt)], device=policy.device)
    model = policy.network.language_model

    def code(logits: Tensor) -> int:
        return int(logits[torch.as_tensor(allowed, device=logits.device)].argmax())

    @torch.inference_mode()
    def official() -> np.ndarray:
        cache, said = DynamicCache(), []
        sequence = _embedded(policy, policy.pixels(picture), ids)
        for _ in range(_CODES):
            out = model(
                inputs_embeds=sequence,
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=True,
            )
            said.append(code(out.logits[0, -1]))
            sequence = model.model.embed_tokens(ids.new_tensor([[allowed[said[-1]]]]))
        return np.array(said)

    @torch.inference_mode()
    def by_transformers() -> np.ndarray:
        said = model.generate(
            inputs_embeds=_embedded(policy, policy.pixels(picture), ids),
            max_new_tokens=_CODES,
            min_new_tokens=_CODES,
            do_sample=False,
            pad_token_id=0,
            output_hidden_states=True,
            return_dict_in_generate=True,
            prefix_allowed_tokens_fn=lambda batch, so_far: allowed.tolist(),
        ).sequences
        return said[0, -_CODES:].cpu().numpy() - allowed[0]

    @torch.inference_mode()
    def without_cache() -> np.ndarray:
        sequence = _embedded(policy, policy.pixels(picture), ids)
        said = []
        for _ in range(_CODES):
            logits = model(inputs_embeds=sequence, use_cache=False).logits[0, -1]
            said.append(code(logits))
            token = ids.new_tensor([[allowed[said[-1]]]])
            sequence = torch.cat([sequence, model.model.embed_tokens(token)], dim=1)
        return np.array(said)

    return {
        'official way': official,
        'generate': by_transformers,
        'without a cache': without_cache,
    }


def _embedded(policy: Any, pixels: Tensor, ids: Tensor) -> Tensor:
    """Start, patches and words, (1, patches + prompt, dim)."""
    network = policy.network
    patches = network.projector(network.vision_backbone(pixels))
    words = network.language_model.model.embed_tokens(ids)
    return torch.cat([words[:, :1], patches, words[:, 1:]], dim=1)
