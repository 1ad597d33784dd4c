from __future__ import annotations

import json
import os
import signal
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from univla_core.errors import TrainingError
from univla_training.parameter_groups import parameter_groups
from univla_training.schedule import rate_factor
from univla_training.trainer import fit
from univla_training.trainer_settings import TrainerSettings

from univla_training import training_state

SETTINGS = TrainerSettings(
    steps=20, batch_size=8, learning_rate=0.01, warmup_share=0.1, ema=0.9, log_every=5, seed=3
)


class Task:
    """Fit a small network to a line; dropout makes torch's random state matter, too."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(4, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 1)
        )
        self.poison: set[int] = set()
        self.steps = 0

    def draw(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=(count, 4))).float()

    def loss(self, batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        error = (self.net(batch)[:, 0] - batch.sum(dim=1)).square().mean()
        if self.steps in self.poison:
            error = error * float('nan')
        self.steps += 1
        return error, {'error': float(error.detach())}

    def fit(self, out, settings=SETTINGS, *, start=1, **options):
        torch.manual_seed(start)
        return fit({'net': self.net}, self.draw, self.loss, settings, out, name='t', **options)


def weights(task: Task) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in task.net.parameters()])


def stop_at(step: int, number: signal.Signals):
    return lambda done: os.kill(os.getpid(), number) if done == step else None


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_and_resumed_training_equals_one_in_one_go(tmp_path, number):
    whole, halves = Task(), Task()
    whole.fit(tmp_path / 'whole')
    with pytest.raises(TrainingError, match='stopped at step 10'):
        halves.fit(tmp_path / 'halves', after_step=stop_at(10, number))
    halves = Task()  # as a new process would
    result = halves.fit(tmp_path / 'halves', start=99)
    assert result.steps == 20
    assert torch.equal(weights(whole), weights(halves))
    rows = [json.loads(line) for line in (tmp_path / 'halves/history.jsonl').open()]
    assert [row['step'] for row in rows] == [5, 10, 15, 20]
    assert (tmp_path / 'halves/curves.png').stat().st_size > 1000
    assert not list(tmp_path.rglob('*.tmp'))


def test_a_finished_training_is_taken_up_without_a_step(tmp_path):
    first, again = Task(), Task()
    first.fit(tmp_path)
    assert again.fit(tmp_path).steps == 20
    assert again.steps == 0
    assert torch.equal(weights(first), weights(again))


def test_training_learns_and_reports(tmp_path):
    settings = TrainerSettings(steps=200, batch_size=64, learning_rate=0.02, log_every=50)
    result = Task().fit(tmp_path, settings, measure=lambda: {'held_out': 0.5})
    losses = [row['loss'] for row in result.history if 'loss' in row]
    assert losses[-1] < 0.2 * losses[0]
    assert result.last['held_out'] == 0.5


def test_steps_that_are_not_finite_are_left_out(tmp_path):
    task = Task()
    task.poison = {3, 4}
    result = task.fit(tmp_path)
    assert (result.steps, result.skipped) == (20, 2)
    assert torch.isfinite(weights(task)).all()


def test_a_loss_that_stays_not_finite_ends_training(tmp_path):
    task = Task()
    task.poison = set(range(5, 100))
    with pytest.raises(TrainingError, match='not finite in 10 steps in a row, up to step 15'):
        task.fit(tmp_path)


def test_other_settings_are_not_resumed(tmp_path):
    Task().fit(tmp_path)
    other = TrainerSettings(**{**vars(SETTINGS), 'learning_rate': 0.5})
    with pytest.raises(TrainingError, match=r'learning_rate 0\.01 → 0\.5.*--fresh'):
        Task().fit(tmp_path, other)
    assert Task().fit(tmp_path, other, resume=False).steps == 20


def test_more_steps_train_on(tmp_path):
    Task().fit(tmp_path)
    longer = TrainerSettings(**{**vars(SETTINGS), 'steps': 30})
    task = Task()
    assert task.fit(tmp_path, longer).steps == 30
    assert task.steps == 10


def test_a_damaged_state_says_so(tmp_path):
    Task().fit(tmp_path)
    path = tmp_path / 'state.pt'
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match=r'state\.pt: cannot be resumed.*--fresh'):
        Task().fit(tmp_path)


def test_a_full_disk_is_told_before_the_first_step(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(training_state.shutil, 'disk_usage', lambda _: usage(1, 1, 1000))
    task = Task()
    with pytest.raises(TrainingError, match='MB of disk, 0 MB are free'):
        task.fit(tmp_path)
    assert task.steps == 0


def test_a_failed_write_keeps_the_state_of_before(tmp_path):
    path = tmp_path / 'state.pt'
    path.write_text('before')

    def fail(file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    with pytest.raises(TrainingError, match='No space left'):
        training_state.write_atomically(path, fail)
    assert path.read_text() == 'before'
    assert [entry.name for entry in tmp_path.iterdir()] == ['state.pt']


def test_time_ends_training(tmp_path):
    settings = TrainerSettings(steps=10**9, minutes=0.5 / 60.0, batch_size=8)
    result = Task().fit(tmp_path, settings)
    assert 0.5 <= result.seconds < 2.0
    assert result.history[-1]['rate'] < 0.05 * settings.learning_rate


def test_parts_of_a_batch_add_up(tmp_path):
    """Two parts of 4 have the gradient of one batch of 8 of the same samples."""
    gradients = []
    for accumulate in (1, 2):
        torch.manual_seed(0)
        net = nn.Linear(4, 1)
        data = torch.arange(32.0).view(8, 4) / 32.0
        parts = iter(data.chunk(accumulate))

        def loss(batch, net=net):
            return net(batch).square().mean(), {}

        settings = TrainerSettings(steps=1, batch_size=8, accumulate=accumulate, gradient_clip=0.0)
        out = tmp_path / str(accumulate)
        fit({'net': net}, lambda r, n, p=parts: next(p), loss, settings, out, name='t')
        gradients.append(net.weight.detach().clone())
    assert torch.allclose(*gradients, atol=1e-6)


def test_batches_drawn_ahead_are_the_same(tmp_path):
    plain, ahead = Task(), Task()
    plain.fit(tmp_path / 'plain')
    ahead.fit(tmp_path / 'ahead', TrainerSettings(**{**vars(SETTINGS), 'prefetch': 3}))
    assert torch.equal(weights(plain), weights(ahead))


def test_only_matrices_decay():
    net = nn.ModuleDict(
        {'fc': nn.Linear(3, 2), 'norm': nn.LayerNorm(2), 'table': nn.Embedding(4, 2)}
    )
    net.register_parameter('query', nn.Parameter(torch.zeros(1, 2)))
    groups = parameter_groups({'net': net}, 0.1)
    decaying = [p for group in groups if group['weight_decay'] for p in group['params']]
    assert len(decaying) == 1
    assert decaying[0] is net['fc'].weight
    assert sum(len(group['params']) for group in groups) == 6


def test_groups_learn_at_their_own_rate_or_not_at_all(tmp_path):
    task = Task()
    before = {name: value.detach().clone() for name, value in task.net.named_parameters()}
    task.fit(tmp_path, groups=lambda name: 0.0 if name.startswith('net.0') else 1.0)
    moved = {
        name: not torch.equal(value, before[name]) for name, value in task.net.named_parameters()
    }
    assert not moved['0.weight']
    assert moved['4.weight']


def test_the_rate_warms_up_and_comes_down():
    settings = TrainerSettings(warmup_share=0.1, final_share=0.2)
    # Half-way between warm-up and end the cosine has come down half the way: 0.2 + 0.8 / 2.
    assert rate_factor(settings, 0.05) == pytest.approx(0.5)
    assert rate_factor(settings, 0.1) == pytest.approx(1.0)
    assert rate_factor(settings, 0.55) == pytest.approx(0.6)
    assert rate_factor(settings, 1.0) == pytest.approx(0.2)
    step = TrainerSettings(schedule='step', warmup_share=0.0, drop_at=0.5, final_share=0.1)
    assert [rate_factor(step, share) for share in (0.0, 0.49, 0.5)] == [1.0, 1.0, 0.1]
