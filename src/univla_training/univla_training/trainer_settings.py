"""What every training stage can be told."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """How one stage is trained; each section of a recipe that learns extends it.

    Training ends after `steps`, or after `minutes` where that is not 0, whichever comes first;
    the schedule follows the larger of both shares.
    """

    steps: int = parameter(1000, 'Optimiser steps; 0 skips the stage', low=0)
    minutes: float = parameter(0.0, 'Longest training time [min]; 0 is unlimited', low=0.0)
    batch_size: int = parameter(64, 'Samples a step, over all processes', low=1)
    accumulate: int = parameter(1, 'Parts that the batch of a step is computed in', low=1)
    learning_rate: float = parameter(1.0e-3, 'Largest learning rate', low=0.0)
    schedule: str = parameter(
        'cosine', 'Course after the warm-up', choices=('cosine', 'constant', 'step')
    )
    warmup_share: float = parameter(0.03, 'Share of training to reach it', low=0.0, high=1.0)
    final_share: float = parameter(
        0.02, 'Share of the learning rate at the end (cosine, step)', low=0.0, high=1.0
    )
    drop_at: float = parameter(0.8, 'Share of training before the drop (step)', low=0.0, high=1.0)
    weight_decay: float = parameter(0.01, 'Decay of matrices; nothing else decays', low=0.0)
    beta2: float = parameter(0.98, "Memory of AdamW's second moment", low=0.0, high=1.0)
    gradient_clip: float = parameter(1.0, 'Largest norm of the gradient; 0 is any', low=0.0)
    ema: float = parameter(0.0, 'Decay of averaged weights; 0 averages none', low=0.0, high=1.0)
    bfloat16: bool = parameter(False, 'Compute in bfloat16, keep weights in float32')
    seed: int = parameter(0, 'Seed of weights and of the order of samples', low=0)
    threads: int = parameter(0, 'CPU threads of torch; 0 takes idle cores', low=0)
    prefetch: int = parameter(0, 'Batches drawn ahead on a thread of their own', low=0, high=64)
    save_every_s: float = parameter(60.0, 'Time between checkpoints [s]', low=0.0)
    log_every: int = parameter(20, 'Steps that a row of the history averages', low=1)
