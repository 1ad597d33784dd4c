"""Untrained UniAct and unified VLA checkpoints: they plan, and what they plan can be decoded."""

import numpy as np
import pytest
from safetensors.torch import load_file
from univla_models.policy import load_policy
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.uniact_synthetic import write_uniact_checkpoint
from univla_models.uniact_synthetic import write_uniact_decoders
from univla_models.unified_vla_synthetic import HORIZON
from univla_models.unified_vla_synthetic import write_unified_checkpoint

ARM = DecoderSpec(
    robot='arm',
    action_space='eef_delta',
    names=('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'),
    q01=(-0.01,) * 6 + (0.0,),
    q99=(0.01,) * 6 + (1.0,),
)


@pytest.fixture
def pictures():
    """Sixteen pictures of coloured squares."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (16, 6, 8, 3), dtype=np.uint8)
    return colors.repeat(20, axis=1).repeat(20, axis=2)


def test_an_untrained_unified_vla_says_whole_chunks_that_depend_on_the_picture(tmp_path, pictures):
    policy = load_policy('unified_vla', write_unified_checkpoint(tmp_path, [ARM]), device='cpu')
    assert not policy.trained
    plans = [policy.plan(picture, 'reach the red cube').codes for picture in pictures]
    chunks = [policy.fast.decode_plan(plan, HORIZON, 7) for plan in plans]
    assert max(np.abs(chunk).max() for chunk in chunks) < 0.5
    assert len({tuple(plan) for plan in plans}) > 1


def test_an_untrained_unified_vla_is_small_and_the_same_every_time(tmp_path):
    for name in ('one', 'two'):
        write_unified_checkpoint(tmp_path / name, [ARM])
    files = [tmp_path / name / 'model.safetensors' for name in ('one', 'two')]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size < 4e6


def test_an_untrained_uniact_has_a_head_for_each_robot(tmp_path):
    folder = write_uniact_checkpoint(tmp_path)
    write_uniact_decoders(folder, [ARM])
    tensors = load_file(folder / 'decoders' / 'arm' / 'action_decoder.safetensors')
    assert tensors['head.fc2.weight'].shape == (ARM.horizon * 7, 4 * ARM.horizon * 7)
    assert not load_policy('uniact', folder, device='cpu').trained
