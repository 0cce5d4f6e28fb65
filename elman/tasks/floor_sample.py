"""How much of a large set the floor reads: a uniform sample that fits into memory, in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from elman.errors import ConfigError


@dataclass(frozen=True)
class Sample:
    """Texts and labels that were kept, and of how many."""

    texts: list[str]
    labels: list[Any]
    rows: int

    @property
    def whole(self) -> bool:
        """Every row was kept."""
        return len(self.texts) == self.rows


def take_sample(texts: Iterable[str], labels: Iterable[Any], characters: int, seed: int) -> Sample:
    """All rows, or a uniform random share of them that holds at most `characters` characters.

    Each row gets a random number; when the texts kept so far grow too long, the bar is halved and
    the rows above it are let go. So every row has the same chance and the texts are read once.

    Raises:
        ConfigError: not as many labels as texts.
    """
    draw = np.random.default_rng(seed)
    kept: list[tuple[float, str, Any]] = []
    bar, length, rows = 1.0, 0, 0
    try:
        for text, label in zip(texts, labels, strict=True):
            rows += 1
            lot = draw.random()
            if lot >= bar:
                continue
            kept.append((lot, text, label))
            length += len(text)
            while length > characters and len(kept) > 1:
                bar /= 2
                kept = [one for one in kept if one[0] < bar] or kept[:1]
                length = sum(len(one[1]) for one in kept)
                if len(kept) == 1:
                    break
    except ValueError as error:
        raise ConfigError("there are not as many labels as texts.", where="floor") from error
    return Sample([one[1] for one in kept], [one[2] for one in kept], rows)
