"""Splits that keep the shares of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from elman.errors import ConfigError


def _strata(labels: Sequence[Any]) -> dict[Hashable, list[int]]:
    """Rows by label; a row with several labels stands with its rarest."""
    rows = [label if isinstance(label, tuple | list) else (label,) for label in labels]
    counts = Counter(label for row in rows for label in row)
    strata: dict[Hashable, list[int]] = {}
    for position, row in enumerate(rows):
        key = min(row, key=lambda label: (counts[label], str(label))) if row else None
        strata.setdefault(key, []).append(position)
    return dict(sorted(strata.items(), key=lambda item: (str(item[0]), len(item[1]))))


def stratified_split(
    labels: Sequence[Any], fraction: float, seed: int = 1
) -> tuple[list[int], list[int]]:
    """(rows kept, rows split off): about `fraction` of every class is split off.

    A class with at least two rows is in both parts; a class with one row stays in the first.
    The same labels, fraction and seed give the same split.

    Args:
        labels: one label, or a tuple of labels, for each row.
        fraction: share that is split off, between 0 and 1.
        seed: of the shuffling.

    Raises:
        ConfigError: the fraction is not between 0 and 1, or there are fewer than two rows.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"a share of {fraction} cannot be split off; it lies between 0 and 1.")
    if len(labels) < 2:
        raise ConfigError(f"{len(labels)} row(s) cannot be split into two parts.")
    random = np.random.default_rng([seed, 0x5711])
    kept: list[int] = []
    off: list[int] = []
    owed = 0.0  # what rounding has kept back so far, so that many small classes still add up
    for rows in _strata(labels).values():
        order = [rows[place] for place in random.permutation(len(rows))]
        exact = fraction * len(rows) + owed
        count = min(max(round(exact), 1), len(rows) - 1) if len(rows) > 1 else 0
        owed = min(max(exact - count, -1.0), 1.0)
        off.extend(order[:count])
        kept.extend(order[count:])
    if not off:  # every class has one row
        off.append(kept.pop())
    return sorted(kept), sorted(off)


def stratified_order(labels: Sequence[Any], seed: int = 1) -> list[int]:
    """All rows in an order of which every beginning is a stratified sample.

    Beginnings hold one another: the first 10 rows are among the first 30. A row of each class comes
    first, so that a beginning that is long enough has all of them.

    Args:
        labels: one label, or a tuple of labels, for each row.
        seed: of the shuffling.
    """
    random = np.random.default_rng([seed, 0x5407])
    placed: list[tuple[float, int]] = []
    for rows in _strata(labels).values():
        for place, row in enumerate(random.permutation(np.asarray(rows))):
            # The n-th row of a class stands about n / size of the way down, whatever its size.
            placed.append(((place + random.random()) / len(rows), int(row)))
    first: list[int] = []
    rest: list[int] = []
    seen: set[Hashable] = set()
    for _, row in sorted(placed):
        label = labels[row] if isinstance(labels[row], tuple | list) else (labels[row],)
        (rest if seen.issuperset(label) else first).append(row)
        seen.update(label)
    return first + rest


def k_folds(labels: Sequence[Any], k: int, seed: int = 1) -> list[tuple[list[int], list[int]]]:
    """`k` pairs (rows to train on, rows to test on); every row is tested exactly once.

    Each class is dealt round the folds, so that a class with at least `k` rows is in every fold.

    Raises:
        ConfigError: `k` is smaller than 2 or larger than the number of rows.
    """
    if not 2 <= k <= len(labels):
        raise ConfigError(f"{len(labels)} rows cannot be dealt into {k} folds; k is 2 or more.")
    random = np.random.default_rng([seed, 0xF01D])
    fold = np.zeros(len(labels), dtype=np.int64)
    place = 0
    for rows in _strata(labels).values():
        for row in random.permutation(np.asarray(rows)):
            fold[row] = place % k
            place += 1
    return [
        (np.flatnonzero(fold != part).tolist(), np.flatnonzero(fold == part).tolist())
        for part in range(k)
    ]
