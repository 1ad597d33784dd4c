"""One step of training, on one device or on several through accelerate.

Started by `accelerate launch`, the user's accelerate configuration decides how weights and samples
are spread (DDP, FSDP). Otherwise torch alone is used and accelerate need not be installed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch import nn
from univla_core.errors import TrainingError

from univla_training.trainer_settings import TrainerSettings


def launched_for_several() -> bool:
    """Whether `accelerate launch` (or torchrun) started this process as one of several."""
    return int(os.environ.get('WORLD_SIZE', '1')) > 1 or 'ACCELERATE_USE_FSDP' in os.environ


class _Step(nn.Module):
    """All modules as one, whose forward is the loss: what is wrapped to run on several devices."""

    def __init__(self, modules: Mapping[str, nn.Module], loss: Callable[[Any], Any]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(modules))
        self._loss = loss

    def forward(self, batch: Any) -> Any:
        return self._loss(batch)


class Parallel:
    """Modules and optimiser, on as many processes as there are."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        loss: Callable[[Any], tuple[Tensor, dict[str, float]]],
        optimizer: torch.optim.Optimizer,
        settings: TrainerSettings,
    ) -> None:
        self._step: nn.Module = _Step(modules, loss)
        self._optimizer: Any = optimizer
        self._accelerator: Any = _accelerator() if launched_for_several() else None
        self.process, self.processes = 0, 1
        if self._accelerator is not None:
            self._step, self._optimizer = self._accelerator.prepare(self._step, optimizer)
            self.process = self._accelerator.process_index
            self.processes = self._accelerator.num_processes
        self.device = next(iter(self.parameters)).device
        self._autocast = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=settings.bfloat16
        )
        if settings.ema and self.sharded:
            raise TrainingError('ema needs whole weights, which FSDP does not keep; set it to 0')

    @property
    def is_main(self) -> bool:
        """Whether this process reports and writes."""
        return self.process == 0

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights only."""
        kind = getattr(self._accelerator, 'distributed_type', None)
        return kind is not None and kind.name == 'FSDP'

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser changes."""
        return [p for group in self._optimizer.param_groups for p in group['params']]

    @property
    def weight_bytes(self) -> int:
        """Size of all weights and buffers, whole."""
        tensors = [*self._step.parameters(), *self._step.buffers()]
        return sum(value.numel() * value.element_size() for value in tensors)

    def train(self) -> None:
        """Training mode."""
        self._step.train()

    def eval(self) -> None:
        """Evaluation mode."""
        self._step.eval()

    def set_rate(self, rate: float) -> float:
        """Give each group its share of the learning rate."""
        for group in self._optimizer.param_groups:
            group['lr'] = rate * group['rate_factor']
        return rate

    def backward(self, parts: list[Any]) -> tuple[float, dict[str, float]]:
        """Gradients of the mean loss over the parts of a batch.

        Returns:
            That loss and the means of the reported figures.
        """
        values, rows = [], []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with self._alone() if not last else nullcontext():
                with self._autocast:
                    value, figures = self._step(part)
                scaled = value / len(parts)
                if self._accelerator is None:
                    scaled.backward()
                else:
                    self._accelerator.backward(scaled)
            values.append(value.detach())
            rows.append(figures)
        mean = torch.stack(values).mean()
        if self._accelerator is not None:
            mean = self._accelerator.reduce(mean, reduction='mean')
        return float(mean), {name: _mean([float(row[name]) for row in rows]) for name in rows[0]}

    def clip(self, limit: float) -> float:
        """Limit the gradient's norm (0 does not); returns the norm before."""
        most = limit or math.inf
        if self._accelerator is None:
            norm: Any = nn.utils.clip_grad_norm_(self.parameters, most)
        else:
            norm = self._accelerator.clip_grad_norm_(self._step.parameters(), most)
            norm = norm.full_tensor() if hasattr(norm, 'full_tensor') else norm
        return float(norm)

    def step(self, sound: bool) -> None:
        """Change the weights, unless the gradients are not sound; then forget the gradients."""
        if sound:
            self._optimizer.step()
        self._step.zero_grad(set_to_none=True)

    def any(self, flag: bool) -> bool:
        """Whether it holds on any process."""
        if self._accelerator is None:
            return flag
        mine = torch.tensor([float(flag)], device=self.device)
        return bool(self._accelerator.reduce(mine, reduction='sum') > 0.0)

    def all(self, flag: bool) -> bool:
        """Whether it holds on every process."""
        return not self.any(not flag)

    def wait(self) -> None:
        """Until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        """Weights and optimiser state as plain tensors; whole on the main process."""
        if self._accelerator is None:
            return {
                'modules': self._step.state_dict(),
                'optimizer': self._optimizer.state_dict(),
            }
        from torch.distributed.checkpoint.state_dict import get_state_dict

        weights, moments = get_state_dict(self._step, self._optimizer.optimizer, options=_whole())
        return {'modules': weights, 'optimizer': moments}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, by as many processes as then.

        Raises:
            KeyError, RuntimeError, ValueError: If it does not fit.
        """
        if self._accelerator is None:
            self._step.load_state_dict(state['modules'])
            self._optimizer.load_state_dict(state['optimizer'])
            return
        from torch.distributed.checkpoint.state_dict import get_model_state_dict
        from torch.distributed.checkpoint.state_dict import set_state_dict

        wanted = set(get_model_state_dict(self._step))
        if wanted != set(state['modules']):
            raise KeyError(f'weights {sorted(wanted ^ set(state["modules"]))[:3]} do not fit')
        set_state_dict(
            self._step,
            self._optimizer.optimizer,
            model_state_dict=dict(state['modules']),
            optim_state_dict=dict(state['optimizer']),
            options=_whole(),
        )

    def _alone(self) -> Any:
        """Gradients stay on this process within."""
        return (
            nullcontext() if self._accelerator is None else self._accelerator.no_sync(self._step)
        )


def _accelerator() -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs
    except ImportError as error:
        raise TrainingError(
            'training on several devices needs accelerate; install it into the environment: '
            '`.venv/bin/pip install accelerate`'
        ) from error
    # Frozen codebooks and unused branches have no gradients in some steps.
    return Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
    )


def _whole() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    # Not strict: parameters that never had a gradient have no moments.
    return StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
