"""Tokens to text as they come: pieces that together are the text."""

from __future__ import annotations

from collections.abc import Sequence

from elman.data import Tokeniser

_REACH = 8  # tokens that decide how the next one is written


class Written:
    """A text that grows token by token.

    Attributes:
        ids: the tokens so far.
        text: what they say so far; bytes that are no whole character yet are left out.
    """

    def __init__(self, tokeniser: Tokeniser, ids: Sequence[int] = ()) -> None:
        self.tokeniser = tokeniser
        self.ids: list[int] = list(ids)
        self.text = ""
        self._held: list[int] = []  # tokens whose text is not known yet

    def piece(self, token: int) -> str:
        """What a token would add to the text."""
        if self.tokeniser.level == "char":  # one token, one character, whatever came before
            return self.tokeniser.decode([token])
        before = self.ids[-_REACH - len(self._held) :]
        old = self.tokeniser.decode(before[: len(before) - len(self._held)])
        new = self.tokeniser.decode([*before, token])
        added = new[len(old) :] if new.startswith(old) else self.tokeniser.decode([token])
        return "" if added.endswith("\ufffd") and token != self.tokeniser.unknown_id else added

    def add(self, token: int) -> str:
        """Adds a token and gives what it added."""
        added = self.piece(token)
        self.ids.append(token)
        if added:
            self._held = []
            self.text += added
        else:
            self._held.append(token)
        return added
