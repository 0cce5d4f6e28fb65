"""`@cell`: a function of equations as an object that can be traced, printed and looked up."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import FunctionType
from typing import overload

from elman.compiler.ir import Step
from elman.compiler.symbols import tracing
from elman.compiler.trace import Hyper, place_of, read_signature, trace
from elman.errors import CellError, did_you_mean


class Cell:
    """A recurrence, written as its equations.

    Attributes:
        name: the function's name.
        doc: its docstring.
        inputs: names of the inputs, in order.
        states: names of the states, in order; the first is the output unless the function returns
            an output of its own.
        hyperparameters: defaults by name; `...` where one must be given.
        initialisers: how parameters start: from globs of their names (for `fnmatch.fnmatchcase`,
            brackets escaped) to a number or to the name of an initialiser ("orthogonal").
        source: file and line of the function.
        citation: the paragraph of the docstring that starts with "Source:".
    """

    def __init__(
        self,
        function: Callable[..., object],
        *,
        name: str | None = None,
        init: Mapping[str, str | float] | None = None,
    ) -> None:
        if not isinstance(function, FunctionType):
            raise CellError(f"@cell decorates a function, not {function!r}.")
        signature = read_signature(function)
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.doc = inspect.cleandoc(function.__doc__ or "")
        self.inputs = tuple(entry for entry, _ in signature.inputs)
        self.states = tuple(entry for entry, _, _ in signature.states)
        self.hyperparameters: dict[str, Hyper] = dict(signature.hyperparameters)
        self.source = (place_of(function).file, place_of(function).line)
        self.initialisers = _initialisers(self.name, init or {}, place_of(function))
        self._steps: dict[object, Step] = {}

    @property
    def citation(self) -> str:
        """Where the equations come from, one line."""
        found = re.search(r"^Source:\s*(.+?)(?:\n\s*\n|\n\w+:|\Z)", self.doc, re.S | re.M)
        return " ".join(found.group(1).split()) if found else ""

    def step(self, **hyperparameters: Hyper) -> Step:
        """The traced, verified and simplified step for these hyper-parameters.

        Raises:
            CellError: a mistake in the equations, an unknown hyper-parameter, or an initialiser
                that names no parameter.
        """
        key = tuple(sorted((name, _frozen(value)) for name, value in hyperparameters.items()))
        try:
            known = self._steps.get(key)
        except TypeError:  # a value that cannot be hashed: trace anew
            return self._trace(hyperparameters)
        if known is None:
            known = self._steps[key] = self._trace(hyperparameters)
        return known

    def _trace(self, hyperparameters: Mapping[str, Hyper]) -> Step:
        step = trace(self.function, hyperparameters, name=self.name)
        names = [parameter.name for parameter in step.parameters]
        for pattern in self.initialisers:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise CellError(
                    f"the initialiser {_plain(pattern)!r} of {self.name} matches no parameter.",
                    where=f"{self.source[0]}:{self.source[1]}",
                    hint=did_you_mean(_plain(pattern), names),
                )
        return step

    def initialiser(self, parameter: str) -> str | float | None:
        """How `parameter` starts: the last glob that matches its name, or None."""
        found: str | float | None = None
        for pattern, value in self.initialisers.items():
            if fnmatchcase(parameter, pattern):
                found = value
        return found

    def __call__(self, *args: object, **hyperparameters: Hyper) -> object:
        """The equations of this cell inside of another."""
        if not tracing():
            raise CellError(
                f"{self.name} is a cell, not a layer.",
                hint=f"Make a layer of it: Recurrent({self.name}, input_size, hidden_size).",
            )
        return self.function(*args, **hyperparameters)

    def __repr__(self) -> str:
        states = ", ".join(self.states)
        return f"<cell {self.name}({', '.join(self.inputs)}, /, {states})>"

    def __copy__(self) -> Cell:
        return self

    def __deepcopy__(self, memo: object) -> Cell:
        return self

    def __reduce__(self) -> str:
        return self.function.__qualname__  # by reference, as functions travel to worker processes


def _literal_brackets(pattern: str) -> str:
    """`R.h[3]` names a member of a family: brackets are not a set of characters here."""
    return pattern.replace("[", "[[]")


def _plain(pattern: str) -> str:
    return pattern.replace("[[]", "[")


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _initialisers(
    name: str, init: Mapping[str, str | float], place: object
) -> dict[str, str | float]:
    for pattern, value in init.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise CellError(
                f"the initialiser of {pattern!r} in {name} is {value!r}.",
                where=str(place),
                hint='Give a number or the name of an initialiser, such as "orthogonal".',
            )
    return {_literal_brackets(pattern): value for pattern, value in init.items()}


@overload
def cell(function: Callable[..., object], /) -> Cell: ...


@overload
def cell(
    *, name: str | None = None, init: Mapping[str, str | float] | None = None
) -> Callable[[Callable[..., object]], Cell]: ...


def cell(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    init: Mapping[str, str | float] | None = None,
) -> Cell | Callable[[Callable[..., object]], Cell]:
    """Makes a cell of a function: `@cell`, or `@cell(init={"R.*": "orthogonal", "b.f": 1.0})`.

    Inputs stand before `/`, states after it, hyper-parameters after `*`. The function returns the
    new states in order; the output is the first of them, or a value of its own before them.

    Raises:
        CellError: the signature declares no input or no state, or an initialiser is neither a
            number nor a name. Mistakes in the equations are found by `Cell.step`.
    """
    if function is not None:
        return Cell(function, name=name, init=init)
    return functools.partial(Cell, name=name, init=init)
