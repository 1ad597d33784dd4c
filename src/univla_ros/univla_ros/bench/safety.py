"""The matrix of faults, as data: how each begins, how it ends, and what must be seen.

When a fault begins:

* an injected message: when it was published;
* a stream that stops: when its next message was due;
* a stream that goes wrong: when its first wrong message was published;
* a killed, stopped or hung process: when the signal was sent;
* a service: when the request was sent; a clock: when the first wrong time was published.

When the robot is safe:

* an arm: when the first command went out that is not the policy's (source `hold`, or `teleop`
  when a person takes over). The source is read from `control_state`, which is published at once
  on each change, and confirmed by the stream of commands to the driver;
* a base: when its commanded twist stands still; where the fault passes by itself and the policy
  goes on before that with a new plan: when the first command went out that is not the policy's;
* without a controller: when the measured robot stands still. Its driver holds the last command,
  or stops by itself.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Literal

from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError

from univla_msgs.msg import ControlState
from univla_ros.bench import spoil
from univla_ros.bench.injector import Injection
from univla_ros.bench.injector import Injector

#: Which stream tells when the fault began, and whether its message is missing or wrong.
Beginning = Literal[
    'injection', 'picture missing', 'picture wrong', 'state missing', 'state wrong'
]

#: What ends the danger: `standstill` is the measured robot's; `task` also the new task's plan.
Safety = Literal['hold', 'teleop', 'release', 'task', 'standstill']

#: Time from fault to safety [s].
ARM_LIMIT_S, BASE_LIMIT_S = 0.1, 0.5
#: A clean run may hold for this share of its time.
FALSE_STOP_SHARE = 0.05
CLEAN = 'clean_run'


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the matrix.

    Attributes:
        name: Short name.
        inject: Does the harm.
        heal: Undoes it; None if it passes by itself.
        prepare: Brings the robot into the situation first, if it is not the policy driving.
        starts_from: Who must be moving the robot before.
        expected: Names in `control_state` of which one must be reported; empty if none is due.
        begins: What tells when the fault began.
        safe: What ends the danger.
        bodies: Kinds of robots that can have it.
        settable_clock: Whether the graph must live in time that the bench publishes.
        lasts_s: Time from injection to healing [s].
        recovers_s: Time to be moved by the policy again [s].
        stays_safe: Whether the policy may not move the robot before it is healed.
    """

    name: str
    inject: Callable[[Injector], Injection]
    heal: Callable[[Injector], object] | None = Injector.hush
    prepare: Callable[[Injector], object] | None = None
    starts_from: str = 'policy'
    expected: tuple[str, ...] = ()
    begins: Beginning = 'injection'
    safe: Safety = 'hold'
    bodies: tuple[str, ...] = ('arm', 'base')
    settable_clock: bool = False
    lasts_s: float = 0.7
    recovers_s: float = 10.0
    stays_safe: bool = True

    def limit_s(self, embodiment: Embodiment) -> float:
        """Time that this robot has until it must be safe [s]."""
        slow = embodiment.kind == 'base' or self.safe == 'standstill'
        return BASE_LIMIT_S if slow else ARM_LIMIT_S


def _breaks(fault: str) -> Callable[[Injector], Injection]:
    return lambda injector: injector.break_robot(fault)


def _heals(injector: Injector) -> object:
    return injector.break_robot('')


def _heals_and_resets(injector: Injector) -> None:
    """Joints that jumped latch the emergency stop: a person must look first."""
    injector.break_robot('')
    time.sleep(0.3)
    injector.let_policy_drive()


def _kill(name: str, **row: Any) -> Fault:
    return Fault(
        name=f'{name}_kill',
        inject=lambda injector: injector.kill(f'{name}_node'),
        heal=lambda injector: injector.restart(f'{name}_node'),
        recovers_s=60.0,
        **row,
    )


def _teleoperation(injector: Injector) -> None:
    injector.steer()
    injector.set_mode(ControlState.MODE_TELEOP)


def _gamepad(injector: Injector) -> None:
    injector.steer_by_gamepad()
    injector.set_mode(ControlState.MODE_TELEOP)


def _camera(name: str, begins: Beginning, *expected: str) -> Fault:
    return Fault(name=name, inject=_breaks(name), heal=_heals, begins=begins, expected=expected)


def _stopped(name: str, *executables: str, expected: tuple[str, ...]) -> Fault:
    return Fault(
        name=name,
        inject=lambda injector: injector.signal(signal.SIGSTOP, *executables),
        heal=lambda injector: injector.signal(signal.SIGCONT, *executables),
        expected=expected,
    )


def _clock(name: str, seconds: float) -> Fault:
    return Fault(
        name=name,
        inject=lambda injector: injector.set_clock(seconds),
        heal=None,  # time goes on from where it jumped to
        expected=('clock_jump', 'stale_joint_state'),
        settable_clock=True,
        lasts_s=0.3,
        stays_safe=False,
    )


def _messages(name: str, inject: Callable[[Injector], Injection], *expected: str) -> Fault:
    # Good messages come between the bad ones: the sender is not the only one.
    return Fault(name=name, inject=inject, expected=expected, stays_safe=False)


FAULTS: tuple[Fault, ...] = (
    _messages('nan_latent', lambda i: i.send_latent(spoil.nan_latent), 'bad_latent'),
    _messages(
        'out_of_range_codes', lambda i: i.send_latent(spoil.codes_out_of_range), 'bad_latent'
    ),
    _messages('nan_chunk', lambda i: i.send_chunk(spoil.nan_chunk), 'bad_chunk'),
    _messages('exploding_chunk', lambda i: i.send_chunk(spoil.exploding_chunk), 'bad_chunk'),
    _camera('camera_stall', 'picture missing', 'stale_camera'),
    _camera('camera_freeze', 'picture wrong', 'frozen_camera'),
    _camera('camera_black', 'picture wrong', 'black_camera'),
    Fault(
        name='joint_stall',
        inject=_breaks('joint_stall'),
        heal=_heals,
        begins='state missing',
        expected=('stale_joint_state',),
    ),
    Fault(
        name='joint_order',
        inject=_breaks('joint_order'),
        heal=_heals_and_resets,
        begins='state wrong',
        expected=('bad_joint_state', 'estop'),
        bodies=('arm',),
    ),
    Fault(
        name='joint_nan',
        inject=_breaks('joint_nan'),
        heal=_heals,
        begins='state wrong',
        expected=('bad_joint_state', 'stale_joint_state'),
    ),
    # A frozen reader can hold up a driver that shares memory with it: then the joint states are
    # missing as well, and whichever is noticed first is named.
    _stopped(
        'policy_hang',
        'policy_node',
        expected=('policy_silent', 'policy_hang', 'stale_joint_state'),
    ),
    _stopped('decoder_hang', 'decoder_node', expected=('decoder_silent', 'stale_joint_state')),
    _kill('policy', expected=('policy_silent',)),
    _kill('decoder', expected=('decoder_silent',)),
    _kill('controller', safe='standstill', lasts_s=1.0),
    _stopped(
        'network_silence',
        expected=('policy_silent', 'decoder_silent', 'stale_joint_state'),
    ),
    Fault(
        name='instruction_change',
        inject=Injector.change_task,
        heal=Injector.restore_task,
        safe='task',
        stays_safe=False,
    ),
    Fault(
        name='estop',
        inject=lambda injector: injector.trigger('estop'),
        heal=Injector.let_policy_drive,
        expected=('estop',),
    ),
    Fault(
        name='deadman_release',
        prepare=_teleoperation,
        starts_from='teleop',
        inject=Injector.hush,
        heal=Injector.let_policy_drive,
        expected=('no_teleop',),
    ),
    Fault(
        name='deadman_open',
        prepare=_gamepad,
        starts_from='teleop',
        inject=Injector.let_go,
        heal=Injector.let_policy_drive,
        expected=('no_teleop',),
    ),
    Fault(
        name='teleop_takeover',
        inject=Injector.steer,
        safe='teleop',
        lasts_s=1.0,
    ),
    Fault(
        name='hand_back',
        prepare=Injector.steer,
        starts_from='teleop',
        inject=Injector.hush,
        heal=None,
        safe='release',
        stays_safe=False,
    ),
    Fault(
        name='second_publisher',
        inject=Injector.intrude,
        heal=Injector.leave,
        expected=('second_publisher',),
    ),
    _clock('clock_jump_back', -5.0),
    _clock('clock_jump_forward', 5.0),
)


def faults_named(names: str) -> tuple[Fault, ...]:
    """The rows named by comma, in the matrix' order; `all` takes every one.

    Raises:
        ConfigError: If a name is unknown.
    """
    known = {fault.name: fault for fault in FAULTS}
    asked = [name.strip() for name in names.split(',') if name.strip()]
    if asked == ['all']:
        return FAULTS
    unknown = [name for name in asked if name not in (*known, CLEAN)]
    if unknown or not asked:
        raise ConfigError(
            f'unknown fault {", ".join(unknown) or "(none)"}; '
            f'known are {", ".join((*known, CLEAN))}'
        )
    return tuple(fault for fault in FAULTS if fault.name in asked)
