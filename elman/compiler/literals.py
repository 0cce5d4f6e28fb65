"""Numbers and arrays as constants of a step, read by `tolist()`: no array library is imported."""

from __future__ import annotations

from collections.abc import Iterator

from elman.compiler.ir import Shape


def read_literal(value: object) -> tuple[tuple[float, ...], Shape]:
    """The numbers of a constant, row by row, and its shape.

    Args:
        value: a number, nested lists or tuples, or anything with `tolist()`; rank 0, 1 or 2.

    Raises:
        TypeError: something in it is not a number.
        ValueError: it is empty, ragged, or of a higher rank.
    """
    tolist = getattr(value, "tolist", None)
    nested = tolist() if callable(tolist) else value
    return tuple(_flatten(nested)), _shape(nested)


def say_value(value: object) -> str:
    """A value in a message: itself when it is short, and its type."""
    kind, text = type(value).__name__, repr(value)
    return f"{text} ({kind})" if len(text) < 40 else kind


def _flatten(nested: object) -> Iterator[float]:
    if isinstance(nested, (list, tuple)):
        for item in nested:
            yield from _flatten(item)
    elif isinstance(nested, (int, float)):
        yield float(nested)
    else:
        raise TypeError(say_value(nested))


def _shape(nested: object) -> Shape:
    if not isinstance(nested, (list, tuple)):
        return ()
    inner = {_shape(item) for item in nested}
    if len(inner) != 1:
        raise ValueError("empty or ragged")
    shape: Shape = (len(nested), *inner.pop())
    if len(shape) > 2:
        raise ValueError("rank above 2")
    return shape
