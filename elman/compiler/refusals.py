"""What Python and other libraries ask of a value, and a symbolic value answers with advice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn


class Refusing:
    """The base of `Traced`: every question that has no answer while a cell is traced."""

    __slots__ = ()

    def describe(self) -> str:
        """How a message calls this value."""
        raise NotImplementedError

    def _no(self, what: str, hint: str) -> NoReturn:
        """Notes the mistake and ends the trace."""
        raise NotImplementedError

    def _foreign(self, function: str) -> object:
        """Notes that a function of another library was called; the trace goes on."""
        raise NotImplementedError

    def __setitem__(self, key: object, value: object) -> None:
        self._no(
            f"a part of {self.describe()} is assigned",
            "A value is never changed: bind a name to a new one, or use where(...).",
        )

    def __bool__(self) -> bool:
        self._no(
            "`if`, `and`, `or`, `not`, `while` or a chained comparison on a traced value",
            "Use where(condition, value, other); conditions are joined by & and |, negated by ~.",
        )

    def __float__(self) -> float:
        self._no(
            "a traced value is turned into a Python number (by a function of `math`?)",
            "Use the functions of elman.cells: tanh, exp, sqrt ...",
        )

    def __int__(self) -> int:
        return int(float(self))

    def __index__(self) -> int:
        return int(float(self))

    def __round__(self, digits: int = 0) -> float:
        return float(self)

    def __iter__(self) -> Iterator[object]:
        self._no(
            f"{self.describe()} is taken apart",
            "A vector is one value: use two states or two parameters.",
        )

    def __len__(self) -> int:
        self._no(
            "the length of a traced value is asked for",
            "Sizes are not known in a cell; use a hyper-parameter.",
        )

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        self._no(
            f"{self.describe()} has no attribute `{name}`",
            f"Functions stand before their argument: {name}(...).",
        )

    def __array_function__(self, function: object, *_: object) -> object:
        return self._foreign(f"numpy.{getattr(function, '__name__', function)}")

    def __array__(self, *_: object) -> NoReturn:
        self._no("a traced value is turned into a numpy array", "Use the functions of elman.cells.")

    @classmethod
    def __torch_function__(
        cls, function: object, types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        asked = next(arg for arg in args if isinstance(arg, Refusing))
        return asked._foreign(f"torch.{getattr(function, '__name__', function)}")
