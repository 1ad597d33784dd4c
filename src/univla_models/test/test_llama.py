import pytest
import torch
from univla_core.errors import ConfigError
from univla_models.llama import build_llama
from univla_models.llama import llama_settings
from univla_models.llama import restore_buffers

SMALL = {
    'hidden_size': 16,
    'intermediate_size': 24,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'vocab_size': 32,
}


def test_fields_that_released_configurations_omit_take_their_old_defaults():
    settings = llama_settings({'vocab_size': 32064, 'pad_token_id': 32000}, 'here')
    # Llama-2 itself says 1e-5; the released checkpoints ran with the library's 1e-6.
    assert settings['rms_norm_eps'] == 1e-6
    assert settings['rope_theta'] == 10000.0
    assert settings['num_key_value_heads'] == 32
    with torch.device('meta'):
        llama = build_llama(settings)
    # 6.738 B of Llama-2-7B and 64 more rows of 4096 in embedding and output
    assert sum(p.numel() for p in llama.parameters()) == 6_738_415_616 + 2 * 64 * 4096


@pytest.mark.parametrize('theta', [10000.0, 500000.0])
def test_rotary_frequencies_follow_the_checkpoint(theta):
    llama = build_llama(llama_settings({**SMALL, 'rope_theta': theta}, 'here'))
    restore_buffers(llama, torch.device('cpu'))
    # head dimension 8: theta^0, theta^(-1/4), theta^(-1/2), theta^(-3/4)
    wanted = torch.tensor([theta ** (-k / 4) for k in range(4)])
    torch.testing.assert_close(llama.model.rotary_emb.inv_freq, wanted)


def test_unknown_attention_lists_the_known():
    with pytest.raises(ConfigError, match='sdpa, eager, flash_attention_2'):
        build_llama(llama_settings(SMALL, 'here'), 'magic')
