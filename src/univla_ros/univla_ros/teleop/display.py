"""What the operator sees: the robot's state, the speeds and the keys, as one picture."""

from __future__ import annotations

from rich.console import Group
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from univla_msgs.msg import ControlState
from univla_msgs.msg import EpisodeStatus
from univla_ros.recorder.show import state_in_words
from univla_ros.teleop.keys import KeyState

_MODES = {
    ControlState.MODE_IDLE: ('IDLE', 'dim'),
    ControlState.MODE_POLICY: ('POLICY', 'bold cyan'),
    ControlState.MODE_TELEOP: ('TELEOP', 'bold green'),
    ControlState.MODE_HOLD: ('HOLD', 'bold yellow'),
    ControlState.MODE_ESTOP: ('E-STOP', 'bold white on red'),
}
_SILENT_S = 1.0
_ARM_KEYS = (
    'w s forward, back    a d left, right    q e up, down',
    'u o roll    i k pitch    j l yaw    t base or tool frame',
)
_BASE_KEYS = ('w s forward, back    a d turn left, right',)
_GRIPPER_KEYS = ('g h open, close the gripper',)
_CODE_KEYS = (
    'digits Enter choose a code    up down next, previous',
    'p one position or all    left right position',
    'f follow the code while held    c back to motion',
)
_MODE_KEYS = (
    '1 POLICY    2 TELEOP    3 HOLD    0 IDLE    c latent code',
    '+ - speed',
)
_RECORD_KEYS = (
    'b record    v end it    y end: success    n end: failure    z discard',
    'm keep the last seconds    / write what is done',
)
_VERDICTS = {'good': 'green', 'suspect': 'yellow', 'bad': 'red'}
_STOP_KEYS = ('Space HOLD    Esc or x E-STOP    r reset E-STOP    Ctrl-C end',)


def picture(
    title: str,
    keys: KeyState,
    state: ControlState | None,
    silence_s: float = 0.0,
    note: str = '',
    recording: Text | None = None,
) -> RenderableType:
    """The whole picture.

    Args:
        title: Name of the robot.
        keys: What the operator holds and has chosen.
        state: Newest control state, None before the first.
        silence_s: Time since the controller was last heard [s].
        note: Last answer, or a hint.
        recording: What the recorder says, None without one.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style='dim', justify='right')
    grid.add_column()
    for label, text in _rows(keys, state, silence_s):
        grid.add_row(label, text)
    if recording is not None:
        grid.add_row('episode', recording)
    grid.add_row('', Text(note, style='yellow'))
    return Panel(
        Group(grid, _help(keys, recording is not None)), title=Text(title), title_align='left'
    )


def _rows(
    keys: KeyState, state: ControlState | None, silence_s: float
) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = []
    if state is not None:
        rows = [('mode', _mode(state)), ('fault', _fault(state)), ('limits', _limits(state))]
        if silence_s > _SILENT_S:
            rows[0] = ('mode', Text(f'no news for {silence_s:.0f} s', style='bold red'))
    speed = f'{keys.speeds.linear:.3g} m/s   {keys.speeds.angular:.3g} rad/s'
    if keys.kind == 'arm':
        speed += f'   in the {"tool" if keys.tool else "base"} frame'
    rows.append(('speed', Text(speed)))
    if keys.code_mode:
        rows.append(('code', _codes(keys)))
    return rows


def _mode(state: ControlState) -> Text:
    name, style = _MODES.get(state.mode, (str(state.mode), ''))
    text = Text.assemble((f' {name} ', style), f'   driven by {state.control_source or "none"}')
    if state.teleop_input:
        text.append(f'   input {state.teleop_input}')
    if state.speed_scale < 1.0:
        text.append(f'   speed scale {state.speed_scale:.2g}')
    return text


def _fault(state: ControlState) -> Text:
    if state.estop_reason:
        return Text(f'E-STOP latched: {state.estop_reason}', style='bold red')
    if state.fault:
        return Text(f'{state.fault}: {state.fault_reason}', style='bold red')
    return Text('none', style='green')


def _limits(state: ControlState) -> Text:
    use = min(max(state.limit_use, 0.0), 1.0) if state.limit_use == state.limit_use else 0.0
    filled = round(20 * use)
    text = Text(f'{"█" * filled}{"░" * (20 - filled)} {100 * use:3.0f} %')
    if state.held_back:
        text.append(f'   held back by {state.held_back}', style='bold yellow')
    return text


def _codes(keys: KeyState) -> Text:
    picker = keys.picker
    text = Text()
    for position, code in enumerate(picker.codes):
        chosen = picker.cursor in (None, position)
        text.append(f' {code} ', style='reverse bold' if chosen else '')
        text.append(' ')
    text.append(f' of 0 to {picker.code_count - 1}', style='dim')
    if picker.typed:
        text.append(f'   {picker.typed}▏Enter', style='bold')
    return text


def recording_in_words(msg: EpisodeStatus) -> Text:
    """What the recorder does, and what is wrong with it."""
    running = msg.state in (EpisodeStatus.STATE_WAITING, EpisodeStatus.STATE_RECORDING)
    text = Text(f'{msg.duration:.0f} s  ' if running else '')
    style = 'bold red' if running else _VERDICTS.get(msg.verdict, '')
    return text.append(state_in_words(msg), style)


def _help(keys: KeyState, recorder: bool) -> Text:
    lines: tuple[str, ...] = _CODE_KEYS
    if not keys.code_mode:
        lines = _ARM_KEYS if keys.kind == 'arm' else _BASE_KEYS
        lines += (_GRIPPER_KEYS if keys.gripper else ()) + _MODE_KEYS
    lines += _RECORD_KEYS if recorder else ()
    return Text('\n' + '\n'.join(lines + _STOP_KEYS), style='dim')
