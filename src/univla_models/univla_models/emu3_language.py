"""Emu3's language model, and greedy continuation within a set of allowed ids.

It has Llama's architecture and tensor names, so transformers' Llama runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from univla_core.errors import CheckpointError

from univla_models.checkpoint_files import load_folder
from univla_models.checkpoint_files import load_state
from univla_models.kept_vocabulary import KeptRows
from univla_models.kept_vocabulary import kept_ids
from univla_models.llama import build_llama
from univla_models.llama import restore_buffers
from univla_models.unified_vla_tokens import FIRST_VISUAL
from univla_models.unified_vla_tokens import NO_LABEL
from univla_models.unified_vla_tokens import NUM_TOKENS

# Emu3Config of the release, stated because its files may omit what had these values.
EMU3_DEFAULTS: dict[str, Any] = {
    'vocab_size': NUM_TOKENS,
    'hidden_size': 4096,
    'intermediate_size': 14336,
    'num_hidden_layers': 32,
    'num_attention_heads': 32,
    'num_key_value_heads': 8,
    'hidden_act': 'silu',
    'max_position_embeddings': 5120,
    'rms_norm_eps': 1e-5,
    'rope_theta': 1e6,
    'attention_bias': False,
    'attention_dropout': 0.0,
    'tie_word_embeddings': False,
    'pad_token_id': 151643,
    'bos_token_id': 151849,
    'eos_token_id': 151850,
}
#: Tensors with one row for each id.
TABLES = ('model.embed_tokens.weight', 'lm_head.weight')
# Switches of the release that change what is computed; none of its checkpoints sets one.
_REFUSED = ('qkv_bias', 'rope_scaling', 'action_experts', 'tie_word_embeddings')


@dataclass(frozen=True)
class Continuation:
    """What the model said after a prompt.

    Attributes:
        tokens: Chosen ids; the last is the stop id unless `cut`.
        probabilities: Probability of each among the allowed ids.
        first_logits: Logits of the first position over the allowed ids, in their order.
        cut: Whether it was still speaking when the limit was reached.
    """

    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    first_logits: Tensor
    cut: bool


def emu3_settings(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Complete a released `config.json`.

    Raises:
        CheckpointError: If it asks for another model.
    """
    asked = [name for name in _REFUSED if values.get(name)]
    if asked:
        raise CheckpointError(
            f'{where}: {", ".join(asked)} is set; no released checkpoint uses it and this loader '
            'does not compute it'
        )
    settings = {name: values.get(name, value) for name, value in EMU3_DEFAULTS.items()}
    settings['attention_dropout'] = 0.0  # of training only
    if settings['num_key_value_heads'] is None:
        settings['num_key_value_heads'] = settings['num_attention_heads']
    if settings['vocab_size'] != NUM_TOKENS:
        raise CheckpointError(
            f'{where}: vocab_size is {settings["vocab_size"]}; the unified VLA has {NUM_TOKENS}'
        )
    return settings


def load_language(
    folder: Path,
    values: Mapping[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str = 'sdpa',
) -> Any:
    """Load the language model of a released folder, strictly, as a `LlamaForCausalLM`.

    Raises:
        CheckpointError: If a file is missing or damaged, or a tensor does not fit.
    """
    where = str(folder / 'config.json')
    network = build_llama(emu3_settings(values, where), attention)
    kept = kept_ids(values, NUM_TOKENS, where)
    stored: Any = network if kept is None else KeptRows(network, kept, TABLES)
    load_folder(stored, folder, device=device, dtype=dtype, is_unused=_is_unused)
    restore_buffers(network, device)
    return network.eval().requires_grad_(False)


def language_from_state(values: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> Any:
    """Make a language model in float32 from tensors under released names, as strictly.

    Raises:
        CheckpointError: If one does not fit.
    """
    network = build_llama(emu3_settings(values, where))
    network.to_empty(device='cpu')
    load_state(network, state, where, _is_unused)
    restore_buffers(network, torch.device('cpu'))
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def continue_greedily(
    network: Any,
    ids: Sequence[int],
    allowed: Tensor,
    stop: int,
    limit: int,
    may_follow: Callable[[Sequence[int]], np.ndarray] | None = None,
) -> Continuation:
    """Let the model speak, the likeliest allowed id each time, until it says `stop`.

    One pass over the prompt fills the key-value cache; only the last position's logits are
    computed, and of these only the allowed rows.

    Args:
        network: A `LlamaForCausalLM`.
        ids: The prompt.
        allowed: Ids that may be said, `stop` among them.
        stop: Ends the sequence.
        limit: Most ids to say.
        may_follow: Places in `allowed` of what was said → whether each of them may come next,
            (allowed,). None allows all of them everywhere, as the original does.
    """
    from transformers import DynamicCache

    cache, head = DynamicCache(), network.lm_head.weight[allowed]  # (allowed, hidden)
    step = torch.tensor([list(ids)], device=head.device)
    tokens: list[int] = []
    places: list[int] = []
    shares: list[float] = []
    first: Tensor | None = None
    while len(tokens) < limit:
        hidden = network.model(input_ids=step, past_key_values=cache, use_cache=True)
        logits = (head @ hidden.last_hidden_state[0, -1]).float()
        first = logits if first is None else first
        follows = None if may_follow is None else may_follow(places)
        if follows is not None and follows.any():
            logits = logits.masked_fill(~torch.from_numpy(follows).to(logits.device), -torch.inf)
        best = int(logits.argmax())
        places.append(best)
        shares.append(float(torch.softmax(logits, dim=-1)[best]))
        tokens.append(int(allowed[best]))
        if tokens[-1] == stop:
            break
        step = torch.tensor([[tokens[-1]]], device=head.device)
    return Continuation(
        tokens=tuple(tokens),
        probabilities=tuple(shares),
        first_logits=torch.empty(0) if first is None else first,
        cut=not tokens or tokens[-1] != stop,
    )


def weighted_loss(
    logits: Tensor, labels: Tensor, vision_weight: float, first_visual: int = FIRST_VISUAL
) -> Tensor:
    """Mean cross-entropy of the next id, visual ids weighted.

    Args:
        logits: (batch, length, vocabulary); position i predicts label i + 1.
        labels: (batch, length), `NO_LABEL` where nothing is learnt.
        vision_weight: Weight of visual ids; all others weigh 1. The sum is divided by the weights.
        first_visual: The first of them; all above are visual, too.
    """
    weights = torch.ones(logits.shape[-1], device=logits.device)
    weights[first_visual:] = vision_weight
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        labels[:, 1:].flatten(),
        weight=weights,
        ignore_index=NO_LABEL,
    )


def allow_only(scores: Tensor, allowed: Tensor) -> Tensor:
    """Scores with every id but the allowed at minus infinity, (…, vocabulary)."""
    kept = torch.full_like(scores, -torch.inf)
    kept[..., allowed] = scores[..., allowed]
    return kept


def _is_unused(name: str) -> bool:
    return name.endswith('rotary_emb.inv_freq')
