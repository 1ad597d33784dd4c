import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file
from univla_core.errors import CheckpointError
from univla_models.checkpoint_files import INDEX
from univla_models.checkpoint_files import read_torch_file
from univla_models.univla import UnivlaPolicy

VISION, LANGUAGE = 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'
NORM = 'language_model.model.norm.weight'


def load(folder):
    return UnivlaPolicy.from_pretrained(folder, device='cpu')


def edited(folder, file, change):
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file)
    index = json.loads((folder / INDEX).read_text())
    index['weight_map'] = {k: f for k, f in index['weight_map'].items() if f != file}
    index['weight_map'] |= dict.fromkeys(tensors, file)
    (folder / INDEX).write_text(json.dumps(index))


def test_a_missing_shard_is_named(broken):
    (broken / LANGUAGE).unlink()
    with pytest.raises(CheckpointError, match=rf'{LANGUAGE}: shard is missing.*language_model'):
        load(broken)


@pytest.mark.parametrize('kept', [0, 4, 1000, 200_000])
def test_a_truncated_shard_is_named(broken, kept):
    content = (broken / LANGUAGE).read_bytes()
    (broken / LANGUAGE).write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match=rf'{LANGUAGE}: truncated'):
        load(broken)


def test_a_renamed_tensor_is_missing_and_unexpected(broken):
    def rename(tensors):
        tensors['language_model.model.norm.gain'] = tensors.pop(NORM)

    edited(broken, LANGUAGE, rename)
    with pytest.raises(CheckpointError) as caught:
        load(broken)
    assert 'norm.gain' in str(caught.value)
    assert f'{NORM} is missing' in str(caught.value)


def test_a_misshapen_tensor_is_named_with_its_file(broken):
    edited(broken, LANGUAGE, lambda tensors: tensors.update({NORM: torch.ones(17)}))
    with pytest.raises(
        CheckpointError, match=rf'{NORM} in {LANGUAGE} has shape \(17,\), not \(16,\)'
    ):
        load(broken)


def test_a_value_that_is_not_finite_is_named(broken):
    edited(broken, LANGUAGE, lambda tensors: tensors[NORM].fill_(float('nan')))
    with pytest.raises(CheckpointError, match=rf'{NORM} in {LANGUAGE} holds NaN'):
        load(broken)


def test_an_index_that_promises_too_much_is_refused(broken):
    index = json.loads((broken / INDEX).read_text())
    index['weight_map']['projector.fc9.weight'] = VISION
    (broken / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=rf'fc9.weight is listed .* absent from {VISION}'):
        load(broken)


def test_dead_weights_may_be_absent_but_strangers_may_not_be_present(broken, policy):
    """The last vision block, its norm and the attention pool never affect a plan."""
    dead = ('.blocks.2.', '.featurizer.norm.', 'fused_featurizer.norm.', '.attn_pool.')

    def strip(tensors):
        for name in [n for n in tensors if any(part in n for part in dead)]:
            del tensors[name]

    edited(broken, VISION, strip)
    assert load(broken).codebook == policy.codebook
    stranger = 'vision_backbone.featurizer.blocks.3.norm1.weight'
    edited(broken, VISION, lambda tensors: tensors.update({stranger: torch.ones(12)}))
    with pytest.raises(CheckpointError, match=r'blocks.3.norm1.weight in .* is unexpected'):
        load(broken)


def test_a_single_file_loads_as_well_as_shards(broken, policy):
    tensors = load_file(broken / VISION) | load_file(broken / LANGUAGE)
    for name in (VISION, LANGUAGE, INDEX):
        (broken / name).unlink()
    with pytest.raises(CheckpointError, match='neither'):
        load(broken)
    save_file(tensors, broken / 'model.safetensors')
    assert load(broken).codebook == policy.codebook


@pytest.mark.parametrize(
    'name', ['config.json', 'tokenizer.json', 'preprocessor_config.json', INDEX]
)
def test_garbage_in_a_companion_file_is_a_checkpoint_error(broken, name):
    (broken / name).write_text('{"half": ')
    with pytest.raises(CheckpointError, match=name):
        load(broken)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path('exploded'),)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_pickled_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': Bomb()}, 'bomb.ckpt')
    Path('raw.ckpt').write_bytes(pickle.dumps(Bomb()))
    for name in ('bomb.ckpt', 'raw.ckpt'):
        with pytest.raises(CheckpointError, match='more than plain tensors'):
            read_torch_file(Path(name))
    assert not Path('exploded').exists()
