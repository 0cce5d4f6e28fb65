"""n-gram language models: what a recurrent one has to beat.

Interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999) and Witten-Bell (1991), as
sorted arrays: every n-gram of the training text has a number, and an n-gram is looked up by the
numbers of its first n - 1 tokens and its last token. A million tokens take a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


@dataclass(frozen=True)
class _Found:
    """Where the n-grams of one length stand among an order's, `(N,)` each.

    Attributes:
        context: the number of the context before each token; -1: it does not occur.
        place: of the n-gram among the keys, where `hit` says that it is there.
        hit: whether it occurs.
    """

    context: Ids
    place: Ids
    hit: NDArray[np.bool_]


class Counts:
    """The n-grams of a text, counted once for models of every order and smoothing.

    Args:
        ids: `(N,)` the text.
        vocabulary: the number of tokens V.
        boundary: the token before which no context reaches, as a document begins with it.
    """

    def __init__(
        self, ids: NDArray[np.integer], vocabulary: int, boundary: int | None = None
    ) -> None:
        self.vocabulary, self.boundary = vocabulary, boundary
        self._text = np.asarray(ids, np.int64)
        self._before = np.zeros(len(self._text), np.int64)  # the number of the empty context
        self._numbers = self._before  # of the longest n-grams so far
        self._contexts = 1
        self._raw: list[_Order] = []
        self._continued: list[_Order] = []

    def orders(self, order: int, smoothing: Smoothing) -> list[_Order]:
        """The n-grams of the lengths 1 to `order`, as the smoothing counts them."""
        while len(self._raw) < order:
            self._longer()
        if smoothing == "witten-bell":
            return self._raw[:order]
        return [*self._continued[: order - 1], *self._raw[order - 1 : order]]

    def _longer(self) -> None:
        keys = np.where(self._before >= 0, self._before * self.vocabulary + self._text, _NONE)
        unique, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
        if len(unique) and unique[0] == _NONE:
            unique, count, inverse = unique[1:], count[1:], inverse - 1
        numbers = inverse.astype(np.int64)
        if self._raw:
            shorter = self._raw[-1].keys
            often = _continuations(unique, numbers, self._numbers, len(shorter))
            before = len(self._raw[-1].totals)
            self._continued.append(_made(shorter, often, before, self.vocabulary))
        made = _made(unique, count.astype(np.float64), self._contexts, self.vocabulary)
        self._raw.append(made)
        self._numbers, self._contexts = numbers, len(unique)
        self._before = _contexts(numbers, self._text, self.boundary, len(self._raw))


def _contexts(numbers: Ids, text: Ids, boundary: int | None, length: int) -> Ids:
    """The n-grams of a length as contexts of the next tokens; none that a document begins in.

    A boundary itself is a context: what stands first in a document follows it.
    """
    context = np.concatenate([np.full(1, _NONE), numbers[:-1]])
    if boundary is not None and length > 1:
        context[1:][text[:-1] == boundary] = _NONE
    return context


def _continuations(longer: Ids, number: Ids, shorter: Ids, size: int) -> NDArray[np.float64]:
    """In how many contexts each n-gram occurs: the (n+1)-grams that end in it."""
    place = np.zeros(len(longer), np.int64)
    here = number >= 0
    place[number[here]] = np.flatnonzero(here)
    found = np.bincount(shorter[place], minlength=size).astype(np.float64)
    return np.maximum(found, 1.0)  # one that stands only in the very beginning of the text


class NGrams:
    """An interpolated n-gram model.

    Args:
        ids: `(N,)` the training text, or its n-grams.
        vocabulary: the number of tokens V.
        order: the longest n-gram.
        smoothing: "kneser-ney" or "witten-bell".
        boundary: the token before which no context reaches; that of the counts, if they are given.
    """

    def __init__(
        self,
        ids: NDArray[np.integer] | Counts,
        vocabulary: int,
        order: int,
        smoothing: Smoothing,
        boundary: int | None = None,
    ) -> None:
        counts = ids if isinstance(ids, Counts) else Counts(ids, vocabulary, boundary)
        self.vocabulary, self.order, self.smoothing = vocabulary, order, smoothing
        self.boundary = counts.boundary
        self._orders = counts.orders(order, smoothing)

    def probabilities(self, ids: NDArray[np.integer]) -> Probabilities:
        """`(N,)` the probability of each token after those before it, at most `order - 1`."""
        text = np.asarray(ids, np.int64)
        return self._mixed(len(text), self._found(text))

    def _found(self, text: Ids, known: list[_Found] | None = None) -> Iterator[_Found]:
        """The n-grams of the text, length by length; `known` are looked up no more."""
        context = np.zeros(len(text), np.int64)
        for n, order in enumerate(self._orders):
            if known is None or n == len(known):
                keys = np.where(context >= 0, context * self.vocabulary + text, _NONE)
                place = np.searchsorted(order.keys, keys)
                place = np.minimum(place, max(len(order.keys) - 1, 0))
                hit = (context >= 0) & (len(order.keys) > 0)
                if len(order.keys):
                    hit &= order.keys[place] == keys
                found = _Found(context, place, hit)
                if known is not None:
                    known.append(found)
            else:
                found = known[n]
            yield found
            numbers = np.where(found.hit, found.place, _NONE)
            context = _contexts(numbers, text, self.boundary, n + 1)

    def _mixed(self, size: int, found: Iterable[_Found]) -> Probabilities:
        result = np.full(size, 1.0 / self.vocabulary)
        for order, there in zip(self._orders, found, strict=True):
            known = there.context >= 0
            result = self._interpolated(order, result, there.context, known, there.place, there.hit)
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
        if self.boundary is not None:
            found["boundary"] = np.array([self.boundary])
        return found

    @classmethod
    def restored(
        cls, arrays: Mapping[str, NDArray[Any]], vocabulary: int, smoothing: Smoothing
    ) -> NGrams:
        """The model whose `arrays` these are."""
        model = cls(np.zeros(0, np.int64), vocabulary, 0, smoothing)
        model.order = len(arrays) // 2
        if "boundary" in arrays:  # runs without it let contexts reach into the document before
            model.boundary = int(arrays["boundary"][0])
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
    boundary: int | None = None,
) -> Chosen:
    """The order and the smoothing that predict the validation part best.

    Orders rise until a longer one is worse. N-grams are counted once for all of them, and those of
    the validation part looked up once.
    """
    counts, text = Counts(train, vocabulary, boundary), np.asarray(valid, np.int64)
    known: list[_Found] = []
    tried: dict[str, float] = {}
    best: tuple[float, NGrams] | None = None
    for smoothing in ("kneser-ney", "witten-bell"):
        last = np.inf
        for order in range(2, longest + 1):
            model = NGrams(counts, vocabulary, order, smoothing)
            found = model._mixed(len(text), model._found(text, known))
            loss = float(-np.log(found).mean())
            tried[f"{order}-gram, {smoothing}"] = loss
            if best is None or loss < best[0]:
                best = (loss, model)
            if loss > last:
                break
            last = loss
    assert best is not None
    return Chosen(best[1], best[0], tried)
