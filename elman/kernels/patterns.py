"""The recurrences that torch has operators for, as equations to be recognised by.

What is compared is the graph, never a name: an LSTM that a user wrote anew is found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from elman.compiler import match
from elman.compiler.build import StepBuilder
from elman.compiler.ir import Step, Var


@dataclass(frozen=True)
class Pattern:
    """A recurrence with torch's name for it and its gates in torch's order."""

    kind: str
    gates: str
    apart: str
    step: Step


@dataclass(frozen=True)
class Found:
    """A pattern and the cell's own name for each of the pattern's parameters."""

    pattern: Pattern
    names: Mapping[str, str]


class _Writer:
    """Writes gates of a pattern: `W x + R h + b`."""

    def __init__(self, name: str, output: str = "hidden") -> None:
        self.build = StepBuilder(name)
        self.x = self.build.input("x", ("input",))
        self.output = output
        self.h = self.build.state("h", (output,), 0.0)

    def matrix(self, name: str, value: Var, rows: str, columns: str) -> Var:
        return self.build.add("matmul", self.build.parameter(name, (rows, columns)), value)

    def vector(self, name: str) -> Var:
        return self.build.parameter(name, ("hidden",))

    def gate(self, name: str, squash: str) -> Var:
        add = self.build.add
        wx = self.matrix(f"W.{name}", self.x, "hidden", "input")
        rh = self.matrix(f"R.{name}", self.h, "hidden", self.output)
        return add(squash, add("add", add("add", wx, rh), self.vector(f"b.{name}")))


def _lstm(projected: bool) -> Step:
    # The size of a projected state is a name of its own here; only the graph is compared.
    w = _Writer("lstm", "proj" if projected else "hidden")
    add = w.build.add
    c = w.build.state("c", ("hidden",), 0.0)
    i, f, o = (w.gate(name, "sigmoid") for name in "ifo")
    g = w.gate("g", "tanh")
    c = add("add", add("mul", f, c), add("mul", i, g))
    h = add("mul", o, add("tanh", c))
    if projected:
        h = w.matrix("U.h", h, "proj", "hidden")
    return w.build.finish(h, (h, c))


def _gru() -> Step:
    w = _Writer("gru")
    add = w.build.add
    r, z = (w.gate(name, "sigmoid") for name in "rz")
    inner = add("add", w.matrix("R.n", w.h, "hidden", "hidden"), w.vector("u.n"))
    outer = add("add", w.matrix("W.n", w.x, "hidden", "input"), w.vector("b.n"))
    n = add("tanh", add("add", outer, add("mul", r, inner)))
    one = w.build.constant((1.0,))
    h = add("add", add("mul", add("sub", one, z), n), add("mul", z, w.h))
    return w.build.finish(h, (h,))


def _rnn(squash: str) -> Step:
    w = _Writer("rnn")
    h = w.gate("h", squash)
    return w.build.finish(h, (h,))


@cache
def patterns() -> tuple[Pattern, ...]:
    """All of them."""
    return (
        Pattern("lstm", "ifgo", "", _lstm(False)),
        Pattern("lstm_projected", "ifgo", "", _lstm(True)),
        Pattern("gru", "rzn", "n", _gru()),
        Pattern("rnn_tanh", "h", "", _rnn("tanh")),
        Pattern("rnn_relu", "h", "", _rnn("relu")),
    )


def find(step: Step) -> Found | None:
    """The pattern that the step is, or None."""
    for pattern in patterns():
        names = match(step, pattern.step)
        if names is not None:
            return Found(pattern, names)
    return None
