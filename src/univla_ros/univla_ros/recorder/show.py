"""An `EpisodeStatus` for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from univla_msgs.msg import EpisodeStatus

_STATES = {
    EpisodeStatus.STATE_IDLE: 'at rest',
    EpisodeStatus.STATE_WAITING: 'waiting for the first message of a topic that is needed',
    EpisodeStatus.STATE_RECORDING: 'recording',
    EpisodeStatus.STATE_FINISHING: 'completing the file',
    EpisodeStatus.STATE_FAILED: 'recording ended',
}
_COLORS = {'good': 'green', 'suspect': 'yellow', 'bad': 'red'}


def show_status(msg: EpisodeStatus) -> None:
    """Print what a recorder reports."""
    console = Console(highlight=False)
    if msg.uri:
        table = Table(title=f'{msg.uri}, {msg.duration:.1f} s')
        table.add_column('topic')
        for heading in ('messages', 'Hz', 'expected', 'lost'):
            table.add_column(heading, justify='right')
        rows = zip(msg.topics, msg.counts, msg.rates_hz, msg.expected_hz, msg.drops, strict=True)
        for topic, count, rate, expected, drops in rows:
            wanted = f'{expected:g}' if expected else ''
            table.add_row(topic, str(count), f'{rate:.1f}', wanted, str(drops) if drops else '')
        console.print(table)
    console.print(state_in_words(msg), style=_COLORS.get(msg.verdict, ''), markup=False)


def state_in_words(msg: EpisodeStatus) -> str:
    """One line: what is being done, the verdict, and why."""
    words = [_STATES.get(msg.state, str(msg.state))]
    if msg.verdict != EpisodeStatus.VERDICT_NONE:
        words.append(msg.verdict)
    return ', '.join(words) + (f': {msg.reason}' if msg.reason else '')
