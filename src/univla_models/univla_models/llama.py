"""The language model: transformers' Llama with the defaults the released checkpoints rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError

ATTENTIONS = ('sdpa', 'eager', 'flash_attention_2')

# LlamaConfig of transformers 4.40, stated because released configs omit fields that had these
# values and other versions of the library may have others.
LLAMA_DEFAULTS: dict[str, Any] = {
    'vocab_size': 32000,
    'hidden_size': 4096,
    'intermediate_size': 11008,
    'num_hidden_layers': 32,
    'num_attention_heads': 32,
    'num_key_value_heads': None,
    'hidden_act': 'silu',
    'max_position_embeddings': 2048,
    'rms_norm_eps': 1e-6,
    'rope_theta': 10000.0,
    'rope_scaling': None,
    'attention_bias': False,
    'attention_dropout': 0.0,
    'tie_word_embeddings': False,
    'pad_token_id': None,
    'bos_token_id': 1,
    'eos_token_id': 2,
}


def llama_settings(text_config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Complete a released `text_config` with the defaults of its time.

    Raises:
        CheckpointError: If it asks for a model this code does not reproduce.
    """
    if text_config.get('model_type', 'llama') != 'llama':
        raise CheckpointError(
            f'{where}: text_config is a {text_config["model_type"]!r} model; UniVLA uses llama'
        )
    settings = {name: text_config.get(name, value) for name, value in LLAMA_DEFAULTS.items()}
    if settings['rope_scaling'] is not None:
        raise CheckpointError(f'{where}: rope_scaling is not supported by the UniVLA loader')
    if settings['num_key_value_heads'] is None:
        settings['num_key_value_heads'] = settings['num_attention_heads']
    return settings


def build_llama(settings: Mapping[str, Any], attention: str = 'sdpa') -> Any:
    """A `LlamaForCausalLM` without memory for its weights (on the meta device).

    Call `restore_buffers` once the weights are in place.

    Raises:
        ConfigError: If the attention implementation is unknown.
    """
    if attention not in ATTENTIONS:
        raise ConfigError(
            f'unknown attention {attention!r}; choose one of {", ".join(ATTENTIONS)}'
        )
    import transformers  # heavy, and needed only by policies with a language model

    sizes = {
        name: value
        for name, value in settings.items()
        if name not in ('rope_theta', 'rope_scaling')
    }
    sizes['tie_word_embeddings'] = False  # the network ties them itself, see TiedHead
    theta = float(settings['rope_theta'])
    if int(transformers.__version__.split('.')[0]) >= 5:
        sizes['rope_parameters'] = {'rope_type': 'default', 'rope_theta': theta}
    else:
        sizes['rope_theta'] = theta
    config = transformers.LlamaConfig(**sizes)
    config._attn_implementation = attention
    with torch.device('meta'):
        llama: Any = transformers.LlamaForCausalLM(config)
    llama.univla_rope_theta = theta
    return llama


def restore_buffers(llama: Any, device: torch.device) -> None:
    """Compute the rotary frequencies, which are no weights, on the device of the model."""
    rotary = llama.model.rotary_emb
    with torch.device(device):
        llama.model.rotary_emb = type(rotary)(config=llama.config)
    head_dim = llama.config.hidden_size // llama.config.num_attention_heads
    exponents = torch.arange(0, head_dim, 2, device=device).float() / head_dim
    expected = llama.univla_rope_theta**-exponents
    if not torch.allclose(llama.model.rotary_emb.inv_freq, expected):
        raise ConfigError(
            'this version of transformers computes other rotary frequencies than the checkpoint '
            'was trained with; install a version listed in the package requirements'
        )
