import pytest
import torch
from univla_core.errors import ConfigError
from univla_models.device import resolve_device
from univla_models.device import resolve_dtype


def test_precision_follows_the_device():
    assert resolve_dtype('auto', torch.device('cpu')) is torch.float32
    assert resolve_dtype('auto', torch.device('cuda')) is torch.bfloat16
    assert resolve_dtype('float16', torch.device('cpu')) is torch.float16


@pytest.mark.parametrize('name', ['gpu', 'cuda:x', 'cpu:0', ''])
def test_unknown_devices_list_the_known(name):
    with pytest.raises(ConfigError, match='auto, cpu, cuda'):
        resolve_device(name)


def test_an_absent_device_says_so():
    with pytest.raises(ConfigError, match="device 'cuda:99' was asked for"):
        resolve_device('cuda:99')
    with pytest.raises(ConfigError, match='float32, bfloat16'):
        resolve_dtype('int8', torch.device('cpu'))


def test_auto_always_finds_one():
    assert resolve_device('auto').type in ('cpu', 'cuda')
