import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_models.codebook import codebook_hash
from univla_models.synthetic import SyntheticSizes
from univla_models.synthetic import main
from univla_models.synthetic import write_checkpoint
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.synthetic_decoders import head_tensors
from univla_models.synthetic_decoders import spec_for
from univla_models.univla import UnivlaPolicy

SMALL = SyntheticSizes(hidden_dim=16, mlp_dim=24, layers=1, heads=2, vision_dim=12, vision_depth=2)
SPEC = DecoderSpec(
    robot='arm',
    action_space='joint_delta',
    names=('a', 'gripper'),
    q01=(-1.0, 0.0),
    q99=(1.0, 1.0),
)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob('*') if p.is_file()}


def test_the_same_seed_gives_the_same_files(tmp_path):
    first, second, other = (
        contents(write_checkpoint(tmp_path / name, [SPEC], seed=seed, sizes=SMALL))
        for name, seed in (('one', 5), ('two', 5), ('three', 6))
    )
    assert first == second
    shard = Path('model-00002-of-00002.safetensors')
    assert first[shard] != other[shard]


def test_the_command_makes_a_small_checkpoint_for_every_robot(tmp_path, capsys):
    main([str(tmp_path / 'out')])
    assert capsys.readouterr().out.strip() == str(tmp_path / 'out')
    files = contents(tmp_path / 'out')
    assert sum(map(len, files.values())) < 15e6
    for robot in robot_names():
        declared = yaml.safe_load(files[Path('decoders', robot, 'decoder.yaml')])
        assert declared['trained'] is False
        assert tuple(declared['names']) == spec_for(load_embodiment(robot)).names
    assert UnivlaPolicy.from_pretrained(tmp_path / 'out', device='cpu').trained is False
    assert b'trained: false' in files[Path('model_card.md')]


def test_policy_and_decoders_name_the_same_codebook(checkpoint, policy):
    declared = yaml.safe_load((checkpoint / 'decoders' / 'cart' / 'decoder.yaml').read_text())
    assert declared['codebook'] == policy.codebook
    assert len(policy.codebook) == 16


def test_the_codebook_hash_covers_ids_names_and_embeddings():
    rows = np.eye(2, dtype=np.float32)
    first = codebook_hash([5, 6], ['a', 'b'], rows)
    assert first == codebook_hash([5, 6], ['a', 'b'], rows.astype(np.float64))
    others = (
        codebook_hash([5, 7], ['a', 'b'], rows),
        codebook_hash([5, 6], ['a', 'c'], rows),
        codebook_hash([5, 6], ['a', 'b'], 2 * rows),
    )
    assert len({first, *others}) == 4


def test_precision_does_not_change_the_codebook(checkpoint, policy):
    half = UnivlaPolicy.from_pretrained(checkpoint, device='cpu', dtype='bfloat16')
    assert half.dtype is torch.bfloat16
    assert half.codebook == policy.codebook


def test_shards_are_indexed_completely(checkpoint):
    index = json.loads((checkpoint / 'model.safetensors.index.json').read_text())
    assert len(set(index['weight_map'].values())) == 2
    assert any('attn_pool' in name for name in index['weight_map'])  # dead weights as released


INSTRUCTIONS = ('pick up the red cube', 'push the blue cube to the left', 'open the drawer')


def table(seed):
    """A table with a dark bar and three coloured squares, somewhere."""
    random = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), 90, np.uint8)
    picture[80:] = (190, 165, 135)
    bar = random.integers(60, 220)
    picture[20:140, bar : bar + 25] = 30
    for color in ((200, 20, 20), (20, 140, 30), (20, 40, 190)):
        row, column = random.integers((100, 0), (220, 300))
        picture[row : row + 20, column : column + 20] = color
    return picture


@pytest.mark.parametrize('seed', [0, 1])
def test_the_plan_reacts_to_picture_and_instruction(tmp_path, seed):
    """Untrained as it is, a newcomer must see that both reach the plan."""
    policy = UnivlaPolicy.from_pretrained(write_checkpoint(tmp_path, [], seed=seed), device='cpu')
    codes = np.array(
        [[policy.plan(table(n), text).codes for text in INSTRUCTIONS] for n in range(10)]
    )  # (pictures, instructions, 4)
    plans = codes.reshape(-1, 4)
    assert len(np.unique(plans, axis=0)) >= 8
    assert np.mean([len(np.unique(column)) for column in plans.T]) >= 3.0
    assert np.mean([len(set(plan)) for plan in plans]) >= 2.0  # tokens of one plan differ too
    for number in range(len(INSTRUCTIONS)):
        assert len(np.unique(codes[:, number], axis=0)) >= 3
    assert sum(len(np.unique(plan, axis=0)) > 1 for plan in codes) >= 5


def test_neighbouring_rows_of_a_decoder_are_alike():
    """A robot that is told something else every row would shake."""
    weight = head_tensors(SPEC, 64, 0)['proj.0.weight'].view(8, 2, -1)
    change = weight.diff(dim=0).norm(dim=-1)
    assert (change < 0.5 * weight.norm(dim=-1)[:-1]).all()
    assert (change > 0.0).all()


@pytest.mark.parametrize(
    'change', [{'q01': (0.0,)}, {'head': 'diffusion'}, {'proprioception_dim': 3}]
)
def test_contradicting_specifications_are_refused(change):
    with pytest.raises(ConfigError, match='arm'):
        DecoderSpec(**{**vars(SPEC), **change})
