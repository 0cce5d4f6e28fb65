"""n-gram language models: what a recurrent one has to beat.

Interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999) and Witten-Bell (1991), as
sorted arrays: every n-gram of the training text has a number, and an n-gram is looked up by the
numbers of its first n - 1 tokens and its last token. A million tokens take a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Probabilities = NDArray[np.float64]
Smoothing = Literal["kneser-ney", "witten-bell"]
_NONE = -1


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length.

    Attributes:
        keys: sorted, `context * vocabulary + token`; the context is the number of an (n-1)-gram.
        counts: how often each occurs, or in how many contexts (Kneser-Ney's lower orders).
        totals, kinds: of each context: the sum of its counts, and its different tokens.
        discount: what is taken from each count.
    """

    keys: Ids
    counts: NDArray[np.float64]
    totals: NDArray[np.float64]
    kinds: NDArray[np.float64]
    discount: float


class NGrams:
    """An interpolated n-gram model.

    Args:
        ids: `(N,)` the training text.
        vocabulary: the number of tokens V.
        order: the longest n-gram.
        smoothing: "kneser-ney" or "witten-bell".
    """

    def __init__(
        self, ids: NDArray[np.integer], vocabulary: int, order: int, smoothing: Smoothing
    ) -> None:
        self.vocabulary, self.order, self.smoothing = vocabulary, order, smoothing
        text = np.asarray(ids, np.int64)
        self._orders: list[_Order] = []
        before = np.zeros(len(text), np.int64)  # the number of the empty context
        numbers: list[Ids] = []
        raw: list[tuple[Ids, NDArray[np.float64]]] = []
        contexts = 1
        counts_of: list[int] = []
        for _ in range(order):
            keys = np.where(before >= 0, before * vocabulary + text, _NONE)
            unique, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
            if len(unique) and unique[0] == _NONE:
                unique, count, inverse = unique[1:], count[1:], inverse - 1
            raw.append((unique, count.astype(np.float64)))
            counts_of.append(contexts)
            numbers.append(inverse.astype(np.int64))
            contexts = len(unique)
            before = np.concatenate([np.full(1, _NONE), inverse[:-1]])
        for n in range(order):
            unique, count = raw[n]
            if smoothing == "kneser-ney" and n < order - 1:
                count = self._continuations(raw[n + 1][0], numbers[n + 1], numbers[n], len(unique))
            self._orders.append(_made(unique, count, counts_of[n], vocabulary))

    @staticmethod
    def _continuations(longer: Ids, number: Ids, shorter: Ids, size: int) -> NDArray[np.float64]:
        """In how many contexts each n-gram occurs: the (n+1)-grams that end in it."""
        place = np.zeros(len(longer), np.int64)
        here = number >= 0
        place[number[here]] = np.flatnonzero(here)
        found = np.bincount(shorter[place], minlength=size).astype(np.float64)
        return np.maximum(found, 1.0)  # one that stands only in the very beginning of the text

    def probabilities(self, ids: NDArray[np.integer]) -> Probabilities:
        """`(N,)` the probability of each token after those before it, at most `order - 1`."""
        text = np.asarray(ids, np.int64)
        result = np.full(len(text), 1.0 / self.vocabulary)
        context = np.zeros(len(text), np.int64)
        for order in self._orders:
            known = context >= 0
            keys = np.where(known, context * self.vocabulary + text, _NONE)
            place = np.searchsorted(order.keys, keys)
            place = np.minimum(place, max(len(order.keys) - 1, 0))
            hit = known & (order.keys[place] == keys) if len(order.keys) else known & False
            result = self._interpolated(order, result, context, known, place, hit)
            number = np.where(hit, place, _NONE)
            context = np.concatenate([np.full(1, _NONE), number[:-1]])
        return result

    def _interpolated(
        self,
        order: _Order,
        lower: Probabilities,
        context: Ids,
        known: NDArray[np.bool_],
        place: Ids,
        hit: NDArray[np.bool_],
    ) -> Probabilities:
        safe = np.where(known, context, 0)
        total, kinds = order.totals[safe], order.kinds[safe]
        seen = known & (total > 0)
        found = order.counts if len(order.counts) else np.zeros(1)
        count = np.where(hit, found[place], 0.0)
        total = np.where(seen, total, 1.0)
        if self.smoothing == "kneser-ney":
            taken = order.discount
            mixed = np.maximum(count - taken, 0.0) / total + taken * kinds / total * lower
        else:
            mixed = (count + kinds * lower) / (total + kinds)
        return np.where(seen, mixed, lower)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `restored` makes the model of again."""
        found: dict[str, NDArray[Any]] = {}
        for n, order in enumerate(self._orders):
            found[f"keys.{n}"], found[f"counts.{n}"] = order.keys, order.counts
        return found

    @classmethod
    def restored(
        cls, arrays: Mapping[str, NDArray[Any]], vocabulary: int, smoothing: Smoothing
    ) -> NGrams:
        """The model whose `arrays` these are."""
        model = cls(np.zeros(0, np.int64), vocabulary, 0, smoothing)
        model.order = len(arrays) // 2
        contexts = 1
        for n in range(model.order):
            keys = arrays[f"keys.{n}"]
            model._orders.append(_made(keys, arrays[f"counts.{n}"], contexts, vocabulary))
            contexts = len(keys)
        return model

    def cross_entropy(self, ids: NDArray[np.integer]) -> float:
        """Nats a token; the first token counts too."""
        return float(-np.log(self.probabilities(ids)).mean())


def _made(keys: Ids, counts: NDArray[np.float64], contexts: int, vocabulary: int) -> _Order:
    of = keys // vocabulary
    once, twice = float((counts == 1).sum()), float((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5
    return _Order(
        keys,
        counts,
        np.bincount(of, weights=counts, minlength=contexts).astype(np.float64),
        np.bincount(of, minlength=contexts).astype(np.float64),
        discount,
    )


@dataclass(frozen=True)
class Chosen:
    """The best n-gram model on a validation part.

    Attributes:
        model: it.
        valid: its nats a token there.
        tried: nats a token of every one that was tried, by name.
    """

    model: NGrams
    valid: float
    tried: dict[str, float]

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.model.order}-gram, {self.model.smoothing}"


def choose(
    train: NDArray[np.integer],
    valid: NDArray[np.integer],
    vocabulary: int,
    *,
    longest: int = 8,
) -> Chosen:
    """The order and the smoothing that predict the validation part best.

    Orders rise until a longer one is worse.
    """
    tried: dict[str, float] = {}
    best: tuple[float, NGrams] | None = None
    for smoothing in ("kneser-ney", "witten-bell"):
        last = np.inf
        for order in range(2, longest + 1):
            model = NGrams(train, vocabulary, order, smoothing)
            loss = model.cross_entropy(valid)
            tried[f"{order}-gram, {smoothing}"] = loss
            if best is None or loss < best[0]:
                best = (loss, model)
            if loss > last:
                break
            last = loss
    assert best is not None
    return Chosen(best[1], best[0], tried)
