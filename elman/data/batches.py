"""Rows of like length side by side, and one batch of them as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elman.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from elman.data.encoded import EncodedTexts

_NOISE = 0.1  # lengths are blurred by so much before sorting, so that batches differ by epoch


@dataclass(frozen=True)
class Batch:
    """A batch of texts.

    Attributes:
        values: (T, B) int64 numbers of tokens; padding is 0.
        lengths: (B,) int64 real lengths, 0 allowed; T is their maximum, at least 1.
        targets: (B,) int64 class numbers, -1 without one; or (B, classes) float32 of 0 and 1 where
            several labels are allowed.
        rows: the positions of the rows in their set.
    """

    values: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor
    rows: list[int]


def bucketed(
    lengths: Sequence[int] | np.ndarray,
    *,
    batch_size: int | None = None,
    token_budget: int | None = None,
    seed: int = 1,
    epoch: int = 0,
    shuffle: bool = True,
    rank: int = 0,
    world: int = 1,
) -> list[list[int]]:
    """Batches of rows of like length; a pure function, the same for the same arguments.

    Args:
        lengths: tokens of each row.
        batch_size: most rows in a batch.
        token_budget: most tokens in a batch with its padding (longest row x rows); a row longer
            than the budget is a batch of its own. At least one of the two is wanted.
        seed, epoch: what the order of an epoch depends on.
        shuffle: False gives the longest rows first, in a fixed order (evaluation).
        rank, world: this process's share; every rank gets the same number of batches, and batches
            of one step are of like size. The fullest batches are halved until the number divides;
            where every batch is one row already, a few rows appear twice.

    Raises:
        ConfigError: neither limit is given, or one is smaller than 1.
    """
    limits = [limit for limit in (batch_size, token_budget) if limit is not None]
    if not limits or min(limits) < 1:
        raise ConfigError("batches need a batch size or a token budget of at least 1.")
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
    random = np.random.default_rng([seed, epoch, 0xBA7C])
    if shuffle:
        blurred = sizes * (1 + _NOISE * (2 * random.random(len(sizes)) - 1))
        order = np.argsort(-blurred, kind="stable")
    else:
        order = np.argsort(-sizes, kind="stable")
    batches = _divide(_cut(order.tolist(), sizes.tolist(), batch_size, token_budget), world)
    if shuffle:
        steps = random.permutation(len(batches) // world)
    else:
        steps = np.arange(len(batches) // world)
    mine = [batches[step * world + rank] for step in steps.tolist()]
    if not shuffle:
        return mine
    return [[batch[place] for place in random.permutation(len(batch))] for batch in mine]


def _cut(
    order: list[int], sizes: list[int], batch_size: int | None, token_budget: int | None
) -> list[list[int]]:
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for row in order:
        longest = max(longest, sizes[row])
        full = batch_size is not None and len(batch) >= batch_size
        if token_budget is not None and longest * (len(batch) + 1) > token_budget:
            full = True
        if full and batch:
            batches.append(batch)
            batch, longest = [], sizes[row]
        batch.append(row)
    if batch:
        batches.append(batch)
    return batches


def _divide(batches: list[list[int]], world: int) -> list[list[int]]:
    """As many batches as `world` divides: the fullest are halved."""
    batches = list(batches)
    while batches and len(batches) % world:
        place = max(range(len(batches)), key=lambda index: len(batches[index]))
        batch = batches[place]
        if len(batch) < 2:
            batches.append(batch)
            continue
        batches[place : place + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return batches


def _shortened(
    ids: np.ndarray, max_tokens: int | None, head_tail: tuple[int, int] | None
) -> np.ndarray:
    if head_tail is not None and len(ids) > sum(head_tail):
        head, tail = head_tail
        return np.concatenate([ids[:head], ids[len(ids) - tail :]])
    return ids if max_tokens is None else ids[:max_tokens]


def shortened_lengths(
    lengths: np.ndarray, max_tokens: int | None = None, head_tail: tuple[int, int] | None = None
) -> np.ndarray:
    """The lengths that `collate` will give with the same limits; for `bucketed`."""
    limits = [limit for limit in (max_tokens, sum(head_tail) if head_tail else None) if limit]
    return np.minimum(lengths, min(limits)) if limits else lengths


def collate(
    encoded: EncodedTexts,
    rows: Iterable[int],
    *,
    max_tokens: int | None = None,
    head_tail: tuple[int, int] | None = None,
) -> Batch:
    """These rows of `encoded` as tensors, padded with 0.

    Args:
        encoded: the set.
        rows: positions in it, in the order of the batch.
        max_tokens: longer texts are cut to their first tokens.
        head_tail: longer texts keep so many first and so many last tokens (Sun et al. 2019, "How to
            fine-tune BERT for text classification?", section 5.3.1).
    """
    import torch

    positions = [int(row) for row in rows]
    texts = [_shortened(encoded[row], max_tokens, head_tail) for row in positions]
    if head_tail is not None and max_tokens is not None:
        texts = [text[:max_tokens] for text in texts]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    longest = max(1, int(lengths.max(initial=0)))
    values = np.zeros((len(texts), longest), dtype=np.int64)
    for place, text in enumerate(texts):
        values[place, : len(text)] = text
    return Batch(
        values=torch.from_numpy(np.ascontiguousarray(values.T)),
        lengths=torch.from_numpy(lengths),
        targets=torch.from_numpy(encoded.targets(positions)),
        rows=positions,
    )
