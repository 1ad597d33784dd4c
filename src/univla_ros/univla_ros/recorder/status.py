"""What the recorder tells: `episode_status` and its statuses on `/diagnostics`."""

from __future__ import annotations

import array

from univla_msgs.msg import EpisodeStatus
from univla_ros.conversions import header_to_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import WARN
from univla_ros.diagnostics import Diagnostics
from univla_ros.recorder.audit import BAD
from univla_ros.recorder.audit import verdict_of
from univla_ros.recorder.recorder import Recorder
from univla_ros.recorder.rules import State
from univla_ros.recorder.take import Take


def status_to_msg(recorder: Recorder, now: float) -> EpisodeStatus:
    """Message of what the recorder does now [s]."""
    take = recorder.newest
    msg = EpisodeStatus(
        header=header_to_msg(now),
        state=int(recorder.state),
        verdict=EpisodeStatus.VERDICT_NONE,
        topics=[expected.name for expected in recorder.expected],
        expected_hz=array.array('d', [expected.rate_hz for expected in recorder.expected]),
    )
    count = len(recorder.expected)
    msg.counts = msg.drops = array.array('Q', [0] * count)
    msg.rates_hz = array.array('d', [0.0] * count)
    if take is None:
        return msg
    end = now if take.end is None else take.end
    audits = take.audits
    msg.counts = array.array('Q', [max(0, a.count - a.unwritten) for a in audits])
    msg.drops = array.array('Q', [a.lost for a in audits])
    msg.rates_hz = array.array('d', [a.rate_hz(end) for a in audits])
    msg.duration = max(0.0, end - take.begin)
    msg.uri = take.uri
    msg.reason = _reason(recorder, take, now)
    if take.end is not None:
        msg.verdict = take.verdict.verdict
    return msg


def report_recorder(
    diagnostics: Diagnostics, recorder: Recorder, problem: str, now: float
) -> None:
    """Set the statuses `recorder` and, one a topic, `recorder/<topic>`.

    Args:
        diagnostics: Of the node.
        recorder: What is told about.
        problem: What is wrong beside the recording.
        now: The time [s].
    """
    take, findings = recorder.running, recorder.findings(now)
    problems = [problem, recorder.problem, *recorder.conversion.problems.values()]
    problems = [text for text in problems if text]
    verdict = verdict_of(findings)
    values: dict[str, object] = {
        'messages nobody had time for': sum(recorder.unheard.values()),
        'kept in memory [MB]': recorder.kept_bytes / 2**20,
    }
    if take is not None:
        values['written [MB]'] = take.file.bytes / 2**20
        values['duration [s]'] = now - take.begin
    level, text = OK, recorder.state.name.lower()
    if recorder.state is State.FAILED and recorder.last is not None:
        level, text = ERROR, recorder.last.cause
    elif problems:
        level, text = WARN, '; '.join(problems)
    elif findings:
        level, text = (ERROR if verdict.verdict == BAD else WARN), verdict.reason
    diagnostics.set('recorder', level, text, values)
    wrong = {finding.topic: finding for finding in findings}
    for number, expected in enumerate(recorder.expected):
        if take is None:
            diagnostics.set(f'recorder{expected.name}', OK, 'not recorded now')
            continue
        audit, found = take.audits[number], wrong.get(expected.name)
        level = OK if found is None else ERROR if found.verdict == BAD else WARN
        facts = {
            'messages': audit.count,
            'rate [Hz]': audit.recent_hz(now),
            'expected rate [Hz]': expected.rate_hz,
            'drops': audit.lost,
            'longest gap [s]': audit.longest_gap_s,
            'least time from stamp to arrival [s]': audit.quickest_s,
        }
        diagnostics.set(f'recorder{expected.name}', level, found.text if found else 'ok', facts)


def _reason(recorder: Recorder, take: Take, now: float) -> str:
    if take is recorder.running:
        return verdict_of(recorder.findings(now)).reason
    return '; '.join(text for text in (take.cause, take.verdict.reason) if text)
