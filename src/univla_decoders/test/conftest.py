import json

import numpy as np
import pytest
import torch
import yaml
from univla_core.latent_action import LatentAction
from univla_decoders.heads import HEADS
from univla_decoders.heads import HeadConfig
from univla_decoders.map_block import MapBlockConfig

POOL = MapBlockConfig(input_dim=10, embed_dim=8, num_heads=2, hidden_dim=16)
COLUMNS = {
    'manipulation': ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'),
    'proprioception': ('j1', 'j2', 'gripper'),
    'navigation': ('linear_x', 'angular_z'),
}
DECLARED = {
    'manipulation': {
        'action_dim': 7,
        'action_space': 'eef_delta',
        'gripper': 'open_positive_unit',
    },
    'proprioception': {
        'action_dim': 3,
        'action_space': 'joint_position',
        'normalisation': 'mean_std',
        'proprioception_dim': 4,
        'proprioception_normalisation': 'mean_std',
        'gripper': 'open_positive_unit',
    },
    'navigation': {
        'action_dim': 4,
        'action_space': 'base_twist',
        'normalisation': 'none',
        'choices': [[0.0, 0.0], [0.25, 0.0], [0.0, 0.3], [0.0, -0.3]],
    },
}


def make_head(kind, visual=True):
    torch.manual_seed(0)
    declared = DECLARED[kind]
    config = HeadConfig(
        kind=kind,
        horizon=5,
        action_dim=declared['action_dim'],
        pool=POOL,
        proprioception_dim=declared.get('proprioception_dim', 0),
        visual=visual,
    )
    return HEADS[kind](config).eval()


def declaration_values(kind):
    return {
        'head': kind,
        'horizon': 5,
        'names': list(COLUMNS[kind]),
        'step_duration_s': 0.1,
        'num_heads': 2,
        'codebook': 'c0de',
        **DECLARED[kind],
    }


def statistics(kind):
    dim, body = DECLARED[kind]['action_dim'], DECLARED[kind].get('proprioception_dim', 1)
    action = {
        'q01': [-2.0] * (dim - 1) + [0.0],
        'q99': [4.0] * (dim - 1) + [1.0],
        'mean': [1.0] * (dim - 1) + [0.5],
        'std': [2.0] * (dim - 1) + [0.5],
        'mask': [True] * (dim - 1) + [False],
    }
    return {'lab': {'action': action, 'proprio': {'mean': [1.0] * body, 'std': [2.0] * body}}}


def write_decoder(folder, kind, visual=True, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(make_head(kind, visual).state_dict(), folder / 'action_decoder.pt')
    (folder / 'dataset_statistics.json').write_text(json.dumps(statistics(kind)))
    (folder / 'decoder.yaml').write_text(yaml.safe_dump(declaration_values(kind) | changes))
    return folder


def latent_action(tokens=4, dim=10, visual=6, codebook='c0de', seed=0):
    random = np.random.default_rng(seed)
    return LatentAction(
        policy='univla',
        codebook=codebook,
        codes=np.zeros(4, np.int32),
        probabilities=np.ones(4, np.float32),
        latent=random.standard_normal((tokens, dim), dtype=np.float32),
        visual=random.standard_normal((visual, dim), dtype=np.float32),
        instruction='go',
    )


@pytest.fixture
def make(tmp_path):
    return lambda kind, **changes: write_decoder(tmp_path / kind, kind, **changes)


@pytest.fixture
def plan():
    return latent_action
