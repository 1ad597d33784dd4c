"""Names of the keys that a terminal sends as several bytes, and the bytes themselves."""

from __future__ import annotations

ESCAPE = 'escape'
ENTER = 'enter'
BACKSPACE = 'backspace'
UP = 'up'
DOWN = 'down'
LEFT = 'left'
RIGHT = 'right'

_ARROWS = {'A': UP, 'B': DOWN, 'C': RIGHT, 'D': LEFT}
_CONTROLS = {'\r': ENTER, '\n': ENTER, '\x7f': BACKSPACE, '\b': BACKSPACE}
_WAIT_S = 0.05  # the bytes of one escape sequence come together


class KeyDecoder:
    """Turns the bytes of a terminal into key names.

    A lone escape byte is the key Esc; the same byte begins the sequences of arrow and function
    keys. Which of them it is shows only when the rest is there, or after `_WAIT_S` when it is not.
    """

    def __init__(self) -> None:
        self._pending = ''
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[str]:
        """Names of the keys in these bytes; unknown sequences are skipped.

        Args:
            data: Bytes as read.
            now: Time of reading [s].
        """
        if not data:
            return []
        text = self._pending + data.decode('utf-8', errors='replace')
        self._pending = ''
        keys = []
        while text:
            key, text = self._next(text)
            if key is None:
                self._pending, self._since = text, now
                break
            keys += [key] if key else []
        return keys

    def flush(self, now: float) -> list[str]:
        """Esc, once it is clear that it began no sequence."""
        if not self._pending or now - self._since < _WAIT_S:
            return []
        self._pending = ''
        return [ESCAPE]

    def _next(self, text: str) -> tuple[str | None, str]:
        """First key ('' to skip, None if more must come) and the text after it."""
        first = text[0]
        if first != '\x1b':
            name = _CONTROLS.get(first, first)
            return (name if name.isprintable() else ''), text[1:]
        if len(text) == 1:
            return None, text
        if text[1] not in '[O':
            return ESCAPE, text[1:]  # Esc, then another key
        for end in range(2, len(text)):
            if '@' <= text[end] <= '~':
                return (_ARROWS.get(text[end], '') if end == 2 else ''), text[end + 1 :]
        return None, text
