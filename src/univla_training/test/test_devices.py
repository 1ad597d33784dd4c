"""Every stage trains on another device than the CPU, though there is none here.

`DEVICE` is the CPU with an index, which torch takes for the CPU. Within a `PretendDevice`, what
was moved or made there counts as being on a device of its own, and so does all that is computed
from it. An operation that mixes it with tensors that were left behind, and `numpy()` of it, raise
as they would with CUDA.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from univla_core.paths import checkpoint_path
from univla_models.policy import load_policy
from univla_training.camera_fit import CameraFit
from univla_training.cloning import train_clone
from univla_training.decoder_training import train_decoder
from univla_training.joint_finetuning import finetune
from univla_training.lam_training import train_lam
from univla_training.look_pairs import LookPairs
from univla_training.look_training import train_looks
from univla_training.policy_training import train_policy
from univla_training.readout_training import train_readout
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun
from univla_training.stages import run_decoder
from univla_training.uniact_decoder_training import train_uniact_decoder
from univla_training.uniact_pretraining import pretrain_uniact
from univla_training.uniact_training import train_uniact
from univla_training.unified_pretraining import pretrain_unified
from univla_training.unified_training import train_unified
from univla_training.unified_training import train_world_model
from univla_training.unified_vision import train_vision

from univla_models import uniact
from univla_models import unified_vla
from univla_models import univla
from univla_training import look_training
from univla_training import pretraining
from univla_training import readout_training
from univla_training import servo_calibration
from univla_training import uniact_pretraining
from univla_training import unified_vision

DEVICE = torch.device('cpu', 0)
_HOST = torch.device('cpu')
# Operations that may take indices of the host, and those that may take tensors of both.
_INDEXING = ('aten.index.', 'aten.index_put', 'aten._index_put', 'aten._unsafe_index')
_COPYING = ('aten.copy_', 'aten._to_copy')


class PretendDevice:
    """Use as a context manager around what shall run on `DEVICE`."""

    def __init__(self) -> None:
        self._storages: dict[int, Any] = {}  # by address; kept, so that none is used again
        self._modes = (_Functions(self), _Operations(self))

    def __enter__(self) -> PretendDevice:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is there."""
        return tensor.untyped_storage()._cdata in self._storages

    def take(self, values: Any) -> None:
        """From now on all tensors among some values are there."""
        for value in tree_leaves(values):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self._storages[storage._cdata] = storage

    def give_back(self, tensor: Tensor) -> None:
        """From now on a tensor is not there."""
        self._storages.pop(tensor.untyped_storage()._cdata, None)


class _Functions(TorchFunctionMode):
    """Who names `DEVICE`, and who asks where a tensor is."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, device = kwargs or {}, self._device
        if func == Tensor.device.__get__:
            return DEVICE if device.holds(args[0]) else _HOST
        if func is Tensor.numpy and device.holds(args[0]):
            raise RuntimeError('numpy() of a tensor on the device')
        result = func(*args, **kwargs)
        name = getattr(func, '__name__', '')
        named = [v for v in (*args[1:], *kwargs.values()) if isinstance(v, torch.device)]
        if name == 'cpu' or (name == 'to' and (_HOST in named or 'cpu' in (*args, 'to')[1:-1])):
            if device.holds(result):
                result = result.clone()
                device.give_back(result)
        elif name == 'to' and DEVICE in named:
            result = result if device.holds(result) else result.clone()
            device.take(result)
        elif DEVICE in named or (name.startswith('new_') and device.holds(args[0])):
            device.take(result)
        return result


class _Operations(TorchDispatchMode):
    """What operations take and make, those of the backward pass as well."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, holds = kwargs or {}, self._device.holds
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        there = [value for value in given if holds(value)]
        beside = [value for value in given if not holds(value) and value.dim() > 0]
        name = str(func)
        if there and beside and not name.startswith(_COPYING):
            indices = name.startswith(_INDEXING) and holds(args[0])
            if not indices:
                raise RuntimeError(f'{name} takes tensors on the device and {len(beside)} beside')
        result = func(*args, **kwargs)
        if there:
            self._device.take(result)
        return result


ROBOT, SIDE = 'widowx', 28
FAST = {'steps': 3, 'batch_size': 4, 'save_every_s': 1000.0, 'threads': 1}
RECIPE = {
    'network': {
        'image_side': SIDE,
        'lam_image_side': SIDE,
        'dino': {'dim': 16, 'depth': 2, 'heads': 2},
        'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
        'llama': {'hidden': 16, 'mlp': 32, 'layers': 1, 'heads': 2},
        'lam': {
            'model_dim': 16,
            'latent_dim': 8,
            'encoder_blocks': 1,
            'decoder_blocks': 1,
            'heads': 2,
        },
        'text': {'dim': 16, 'layers': 1, 'heads': 2},
        'head': {'embed_dim': 16, 'blocks': 1, 'heads': 2},
    },
    'data': {'robots': ['widowx', 'airbot'], 'validation_share': 0.25},
    **dict.fromkeys(('pretraining', 'lam1', 'lam2', 'decoder', 'finetuning'), FAST),
    **dict.fromkeys(('looks', 'readout'), FAST),
    'policy': {**FAST, 'pointing_share': 0.5},
    'cloning': {**FAST, 'pointing_share': 0.5},
    'uniact': {
        'network': {
            'patch': 14,
            'vision_dim': 16,
            'vision_layers': 1,
            'vision_heads': 2,
            'hidden': 16,
            'mlp': 24,
            'layers': 1,
            'heads': 2,
            'num_codes': 8,
            'code_dim': 6,
            'channels': [4, 4, 4, 8],
            'head_layers': [1, 1],
            'head_hidden': 16,
        },
        'pretraining': FAST,
        'training': {**FAST, 'anneal': 4, 'pointing_share': 0.5},
        'decoder': FAST,
    },
    'unified': {
        'network': {
            'hidden': 16,
            'mlp': 24,
            'layers': 1,
            'heads': 2,
            'kv_heads': 1,
            'positions': 512,
            'visual_codes': 16,
        },
        'vision': FAST,
        'pretraining': FAST,
        'world_model': {**FAST, 'interval': 2},
        'policy': {**FAST, 'video': True, 'pointing_share': 0.5},
    },
}


@pytest.fixture
def run(tmp_path, arms_store, scenes, monkeypatch) -> Iterator[TrainingRun]:
    """A run on the device that is not there."""
    torch.set_num_threads(1)
    for module in (pretraining, uniact_pretraining, unified_vision):
        monkeypatch.setattr(module, 'drawn_scenes', lambda *_: scenes)
    for module in (univla, uniact):
        monkeypatch.setattr(module, 'resolve_device', torch.device)
    run = TrainingRun(
        recipe=recipe_from_mapping(RECIPE, 'test'), out=tmp_path, device=DEVICE, workers=1
    )
    run.__dict__['store'] = arms_store
    with PretendDevice():
        yield run


def changed(run: TrainingRun, **settings: Any) -> TrainingRun:
    """The same run with other settings of the decoder."""
    decoder = dataclasses.replace(run.recipe.decoder, **settings)
    other = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, decoder=decoder))
    other.__dict__['store'] = run.store
    return other


def test_what_was_left_behind_is_found():
    with PretendDevice() as device:
        layer, seen = torch.nn.Linear(4, 4).to(DEVICE), torch.ones(2, 4)
        with pytest.raises(RuntimeError, match='tensors on the device and 1 beside'):
            layer(seen)
        out = layer(seen.to(layer.weight.device))
        assert device.holds(out) and out.device == DEVICE != seen.device
        with pytest.raises(RuntimeError, match='numpy'):
            out.detach().numpy()
        out.sum().backward()
        assert device.holds(layer.weight.grad)
        assert out.detach().cpu().numpy().shape == (2, 4)
        with pytest.raises(RuntimeError, match='beside'):
            out + torch.arange(4)
        assert device.holds(out + torch.arange(4, device=out.device))


def test_univla_learns_there(run, scenes, monkeypatch):
    pretraining.pretrain(run)
    train_lam(run, 1)
    train_lam(run, 2)
    train_policy(run)
    finetune(run)
    train_clone(run)
    run_decoder(changed(run, lora_rank=2), ROBOT, 'joint_position', 1.0)
    train_decoder(changed(run, pointing=True, views=2), ROBOT, 'joint_position')
    camera = np.array([[-0.3, 1.0, -0.2, 0.51], [0.4, 0.0, -1.1, 0.3], [-0.6, 0.0, -0.4, 1.0]])
    found = CameraFit(camera, np.array([0.01, -0.07]))
    monkeypatch.setattr(servo_calibration, 'fit_camera', lambda *_: found)
    train_decoder(changed(run, head='servo', pointing=True), ROBOT, 'eef_pose')
    pairs = LookPairs(plain=scenes.pictures, other=scenes.pictures[::-1])
    monkeypatch.setattr(look_training, 'drawn_scenes', lambda *_: pairs)
    train_looks(run, str(run.out / 'checkpoint'))
    monkeypatch.setattr(readout_training, 'drawn_scenes', lambda *_: scenes)
    train_readout(run, str(run.out / 'checkpoint'))


def test_uniact_learns_there(run):
    pretrain_uniact(run)
    train_uniact(run)
    train_uniact_decoder(run, 'airbot', 'eef_pose', 1.0)


def test_the_unified_vla_learns_there(run):
    train_vision(run)
    pretrain_unified(run)
    train_world_model(run)
    train_unified(run)


@pytest.mark.parametrize(
    ('policy', 'checkpoint'),
    [('univla', 'tiny'), ('uniact', 'uniact-tiny'), ('unified_vla', 'unified-tiny')],
)
def test_policies_plan_there(policy, checkpoint, monkeypatch):
    for module in (univla, uniact, unified_vla):
        monkeypatch.setattr(module, 'resolve_device', torch.device)
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with PretendDevice() as device:
        folder = checkpoint_path(checkpoint)
        planner = load_policy(policy, folder, device='cpu:0', preprocessing='auto')
        networks = [
            value for value in vars(planner).values() if isinstance(value, torch.nn.Module)
        ]
        assert networks
        assert all(device.holds(value) for net in networks for value in net.parameters())
        plan = planner.plan({'primary': picture}, 'reach the red cube')
    assert np.isfinite(plan.latent).all()
