"""Checkpoints smaller than any released one: other picture sizes, tied embeddings."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file
from univla_core.errors import CheckpointError
from univla_models.kept_vocabulary import ranges_of
from univla_models.release import config_document
from univla_models.release import processor_document
from univla_models.synthetic_tokenizer import write_tokenizer
from univla_models.univla import UnivlaOptions
from univla_models.univla import UnivlaPolicy
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork
from univla_models.univla_vocabulary import EMBEDDING

VISION = [{'embed_dim': 16, 'depth': 2, 'num_heads': 2}] * 2
TEXT = {
    'hidden_size': 16,
    'intermediate_size': 32,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'tie_word_embeddings': True,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('small')
    config = config_document(VISION, TEXT, image_size=56, trained=True, preprocessing='plain')
    torch.manual_seed(0)
    with torch.device('meta'):
        shapes = UnivlaNetwork(UnivlaConfig.from_mapping(config, 'here')).state_dict()
    tensors = {name: 0.3 * torch.randn(value.shape) for name, value in shapes.items()}
    save_file(tensors, folder / 'model.safetensors')
    write_tokenizer(folder / 'tokenizer.json')
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'preprocessor_config.json').write_text(json.dumps(processor_document(56)))
    return folder


def plan(folder, **options):
    policy = UnivlaPolicy.from_pretrained(folder, device='cpu', options=UnivlaOptions(**options))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return policy, policy.plan(picture, 'reach the red cube', history_codes=[1, 2, 3, 4])


def test_the_picture_size_gives_the_number_of_visual_tokens(folder):
    """56 px in patches of 14 px: 4 x 4."""
    policy, planned = plan(folder)
    assert planned.visual.shape == (16, 16)
    assert policy.num_codes == 16


def test_tied_embeddings_are_stored_once_and_choose_the_tokens(folder):
    """No lm_head in the file; the logits are products with the input embeddings."""
    assert not [name for name in load_file(folder / 'model.safetensors') if 'lm_head' in name]
    policy, planned = plan(folder)
    table = policy.network.language_model.model.embed_tokens.weight[policy.tokenizer.action_ids]
    logits = torch.from_numpy(planned.latent) @ table.T
    assert logits.argmax(-1).tolist() == planned.codes.tolist()


def test_auto_takes_the_habits_of_the_checkpoint(folder):
    """`plain` repeats no history, so `auto` plans as without it; `none` repeats the codes."""
    policy, automatic = plan(folder, preprocessing='auto')
    assert policy.options.preprocessing == 'plain'
    np.testing.assert_array_equal(automatic.latent, plan(folder, preprocessing='plain')[1].latent)
    assert not np.array_equal(automatic.latent, plan(folder, preprocessing='none')[1].latent)


def test_both_vision_transformers_must_see_the_same_patches():
    config = config_document(VISION, TEXT, image_size=56)
    config['timm_kwargs'] = [VISION[0], {**VISION[1], 'img_size': 112}]
    with pytest.raises(CheckpointError, match='same img_size'):
        UnivlaConfig.from_mapping(config, 'here')


def test_a_file_may_keep_a_part_of_the_vocabulary(folder, tmp_path):
    """The same plans and the same code vocabulary from the rows of ids that have a token."""
    small = shutil.copytree(folder, tmp_path / 'kept')
    config = json.loads((folder / 'config.json').read_text())
    words = json.loads((folder / 'tokenizer.json').read_text())['model']['vocab']
    kept = sorted(set(words.values()))
    state = load_file(folder / 'model.safetensors')
    state[EMBEDDING] = state[EMBEDDING][kept].clone()
    save_file(state, small / 'model.safetensors')
    (small / 'config.json').write_text(json.dumps({**config, 'kept_ids': ranges_of(kept)}))
    (policy, planned), (whole, wanted) = plan(small), plan(folder)
    assert planned.codes.tolist() == wanted.codes.tolist()
    np.testing.assert_allclose(planned.latent, wanted.latent, atol=1e-5)
    assert policy.codebook == whole.codebook
    without_codes = [number for number in kept if number < policy.tokenizer.action_ids.min()]
    told = {**config, 'kept_ids': ranges_of(without_codes)}
    (small / 'config.json').write_text(json.dumps(told))
    state[EMBEDDING] = state[EMBEDDING][: len(without_codes)].clone()
    save_file(state, small / 'model.safetensors')
    with pytest.raises(CheckpointError, match='tokenizer names action token'):
        plan(small)


def test_ids_are_told_as_ranges():
    assert ranges_of([0, 1, 2, 7, 9, 10]) == [[0, 2], [7, 7], [9, 10]]
