"""Tokens to text as they come: pieces that together are the text."""

from __future__ import annotations

from collections.abc import Sequence

from elman.data import Tokeniser

_REACH = 8  # tokens that decide how the next one is written
_HELD = 8  # tokens of which a character may consist, and more


class Written:
    """A text that grows token by token; only its end is kept, however long it becomes.

    Args:
        tokeniser: of the tokens.
        ids: what stands before the text.
    """

    def __init__(self, tokeniser: Tokeniser, ids: Sequence[int] = ()) -> None:
        self.tokeniser = tokeniser
        self._ids = list(ids[-_REACH:])
        self._held: list[int] = []  # tokens whose text is not known yet

    def piece(self, token: int) -> str:
        """What a token would add to the text; bytes that are no whole character yet add nothing."""
        if self.tokeniser.level == "char":  # one token, one character, whatever came before
            return self.tokeniser.decode([token])
        before = self._ids[-_REACH - len(self._held) :]
        old = self.tokeniser.decode(before[: len(before) - len(self._held)])
        new = self.tokeniser.decode([*before, token])
        added = new[len(old) :] if new.startswith(old) else self.tokeniser.decode([token])
        open_ = added.endswith("\ufffd") and token != self.tokeniser.unknown_id
        return "" if open_ and len(self._held) < _HELD else added

    def add(self, token: int) -> str:
        """Adds a token and gives what it added."""
        added = self.piece(token)
        self._ids.append(token)
        if added:
            self._held = []
        else:
            self._held.append(token)
        del self._ids[: -_REACH - _HELD]
        return added
