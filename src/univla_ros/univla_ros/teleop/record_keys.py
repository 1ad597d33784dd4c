"""Keys that begin, judge and end the recording of episodes."""

from __future__ import annotations

from dataclasses import dataclass

from univla_ros.teleop.key_names import BACKSPACE
from univla_ros.teleop.key_names import ENTER
from univla_ros.teleop.key_names import ESCAPE

#: What each key asks of the recorder, as the services `record/<verb>` are called.
VERBS = {
    'b': 'start',
    'v': 'stop',
    'y': 'success',
    'n': 'failure',
    'z': 'discard',
    'm': 'keep_last',
}
#: Begins to write what is done in the episode.
LABEL = '/'


@dataclass(frozen=True)
class Recording:
    """What a key asks of the recorder: a verb, or a label for the episode."""

    verb: str = ''
    label: str = ''


class RecordKeys:
    """Takes the keys of the recorder, and all keys while a label is being written.

    Attributes:
        text: The label as far as it is written, None while none is.
    """

    def __init__(self) -> None:
        self.text: str | None = None

    def press(self, key: str) -> Recording | None:
        """Take in a key; None if it is not ours.

        Esc is never ours: it is the emergency stop, and ends writing.
        """
        if key == ESCAPE:
            self.text = None
            return None
        if self.text is not None:
            return self._write(key)
        if key == LABEL:
            self.text = ''
            return Recording()
        verb = VERBS.get(key.lower())
        return Recording(verb) if verb else None

    def _write(self, key: str) -> Recording:
        assert self.text is not None
        if key == ENTER:
            label, self.text = self.text.strip(), None
            return Recording(label=label)
        if key == BACKSPACE:
            self.text = self.text[:-1]
        elif len(key) == 1:
            self.text += key
        return Recording()
