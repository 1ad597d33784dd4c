import shutil

import pytest
import torch
from univla_models.synthetic import SyntheticSizes
from univla_models.synthetic import write_checkpoint
from univla_models.synthetic_decoders import DecoderSpec
from univla_models.univla import UnivlaPolicy

TINY = SyntheticSizes(
    hidden_dim=16, mlp_dim=24, layers=2, heads=2, vision_dim=12, vision_depth=3, vision_heads=2
)
BASE = DecoderSpec(
    robot='cart', action_space='base_twist', names=('v', 'w'), q01=(-1.0, -2.0), q99=(1.0, 2.0)
)


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('tiny') / 'checkpoint', [BASE], sizes=TINY)


@pytest.fixture
def broken(checkpoint, tmp_path):
    """A copy of the checkpoint for a test to damage."""
    return shutil.copytree(checkpoint, tmp_path / 'broken')


@pytest.fixture(scope='session')
def policy(checkpoint):
    return UnivlaPolicy.from_pretrained(checkpoint, device='cpu')
