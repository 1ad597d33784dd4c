"""Picks latent codes by hand: what the policy plans, chosen by a person instead."""

from __future__ import annotations

from univla_ros.teleop.key_names import BACKSPACE
from univla_ros.teleop.key_names import DOWN
from univla_ros.teleop.key_names import ENTER
from univla_ros.teleop.key_names import LEFT
from univla_ros.teleop.key_names import RIGHT
from univla_ros.teleop.key_names import UP


class CodePicker:
    """The chosen codes, and the number being typed.

    Args:
        code_count: Number of codes in the vocabulary.
        positions: Codes in one plan of the policy.

    Attributes:
        codes: The chosen code of each position.
        cursor: Position that is being changed, None for all of them together.
        typed: Digits typed so far.
    """

    def __init__(self, code_count: int = 16, positions: int = 4) -> None:
        self.code_count = code_count
        self.codes = [0] * positions
        self.cursor: int | None = None
        self.typed = ''

    def set_positions(self, positions: int) -> None:
        """Take over how many codes the policy plans, as its latent actions tell."""
        if positions > 0 and positions != len(self.codes):
            self.codes = (self.codes + [self.codes[-1]] * positions)[:positions]
            if self.cursor is not None:
                self.cursor = min(self.cursor, positions - 1)

    def press(self, key: str) -> str | None:
        """Take in one key.

        Returns:
            What there is to say about it ('' for nothing), None for a key that means nothing here.
        """
        if key.isdecimal() and key.isascii():
            self.typed = (self.typed + key)[-3:]
            return ''
        if key == ENTER:
            return self._confirm()
        if key == BACKSPACE:
            self.typed = self.typed[:-1]
            return ''
        self.typed = ''
        if key in (UP, DOWN):
            self._choose((self._code() + (1 if key == UP else -1)) % self.code_count)
        elif key in (LEFT, RIGHT):
            self._move(1 if key == RIGHT else -1)
        elif key == 'p':
            self._toggle_positions()
        else:
            return None
        return ''

    def message(self) -> tuple[int, ...]:
        """Codes as `teleop/latent_code` takes them: one entry stands for all positions."""
        return (self.codes[0],) if len(set(self.codes)) == 1 else tuple(self.codes)

    def _code(self) -> int:
        return self.codes[self.cursor or 0]

    def _confirm(self) -> str:
        if not self.typed:
            return ''
        code, self.typed = int(self.typed), ''
        if code >= self.code_count:
            return f'no code {code}: they run from 0 to {self.code_count - 1}'
        self._choose(code)
        return ''

    def _choose(self, code: int) -> None:
        if self.cursor is None:
            self.codes = [code] * len(self.codes)
        else:
            self.codes[self.cursor] = code

    def _move(self, step: int) -> None:
        self.cursor = (
            ((self.cursor or 0) + step) % len(self.codes) if self.cursor is not None else 0
        )

    def _toggle_positions(self) -> None:
        if self.cursor is None:
            self.cursor = 0
        else:
            self.codes = [self._code()] * len(self.codes)
            self.cursor = None
