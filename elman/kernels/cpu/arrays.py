"""Where the arrays of a kernel lie: which there are, and the table of addresses that it is given.

    frame     ::= header slot*                                 64-bit integers
    header    ::= steps, batch, offsets, rows, reverse, units, resets, barrier
    array     ::= base, stride, half       byte addresses and distances; one row of it is a vector

A stream has a row for each real step of the batch, `offsets[t] + row`. States and values that pass
between regions have one for each row of the batch, twice: each step reads one half and writes the
other, so that nobody overwrites what somebody still reads. Sums have a row for each thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from elman.compiler.ir import Step, Var
from elman.compiler.schedule import Product, Region, Schedule

HEADER = ("steps", "batch", "offsets", "rows", "reverse", "units", "resets", "barrier")
PARTS = ("base", "stride", "half")

Storage = Literal["full", "bfloat16", "brain", "int8"]
"""How packed weights are kept: as the kernel's own numbers, or shorter; sums are always full.

"bfloat16" weights are made full before they meet full numbers; "brain" weights meet bfloat16.
"""

Kind = Literal["stream", "state", "passed", "vector", "weights", "sum", "given", "scratch"]


@dataclass(frozen=True)
class Array:
    """One array of a kernel.

    Attributes:
        name: unique in the kernel; `scale.<region>.<accumulator>` is what a row of 8-bit weights
            was divided by.
        kind: "stream", "state", "passed", "vector", "weights", "sum"; "given": a row of the batch
            each, once (what a reset puts in place of a state, or takes from it); "scratch": the
            same for each thread.
        size: units of a row.
    """

    name: str
    kind: Kind
    size: int


@dataclass(frozen=True)
class Group:
    """Products of one region with the same operand: a packed array of weights.

    Attributes:
        array: the packed weights, `(panels, operand size, products, panel width)`; with pairs
            `(panels, operand size / 2, products, panel width, 2)`.
        operand: what they multiply.
        products: each with the number of the accumulator that takes it.
    """

    array: Array
    operand: Var
    products: tuple[tuple[int, Product], ...]


class Arrays:
    """The arrays of a scheduled step."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        collects: bool = False,
        storage: Storage = "full",
        pairs: bool = False,
    ) -> None:
        step = schedule.step
        self.schedule, self.step = schedule, step
        self.collects = collects
        self.storage: Storage = storage
        self.pairs = storage == "brain" or (pairs and storage == "int8")
        self._loads: dict[Var, Array] = {}
        self._stores: dict[Var, list[Array]] = {}
        self.table: dict[str, Array] = {}
        self._declare(step)
        for var in schedule.passed:
            if var not in self._next and var not in self._streams:
                array = self._add(f"passed.{var.index}", "passed", units(var))
                self._stores.setdefault(var, []).append(array)
                self._loads[var] = array
        self.groups = {
            number: self._groups(number, part)
            for number, part in enumerate(schedule.parts)
            if isinstance(part, Region)
        }
        self.scales: dict[tuple[int, int], Array] = {}
        if storage == "int8":
            for number, part in enumerate(schedule.parts):
                if isinstance(part, Region):
                    for place in range(len(part.accumulators)):
                        array = self._add(f"scale.{number}.{place}", "vector", part.size)
                        self.scales[number, place] = array
        # What a group multiplies, rounded to 16 bits; of integers also the value of one step.
        self.rounded: dict[tuple[int, int], tuple[Array, Array | None]] = {}
        for number, groups in self.groups.items() if self.pairs else ():
            for place, group in enumerate(groups):
                name = f"{number}.{place}"
                rounded = self._add(f"rounded.{name}", "scratch", units(group.operand))
                whole = storage == "int8"
                factor = self._add(f"factor.{name}", "scratch", 1) if whole else None
                self.rounded[number, place] = (rounded, factor)
        self._slots = {
            (name, part): len(HEADER) + 3 * place + PARTS.index(part)
            for place, name in enumerate(self.table)
            for part in PARTS
        }

    def _declare(self, step: Step) -> None:
        for entry in step.inputs:
            self._loads[entry.var] = self._add(f"in.{entry.name}", "stream", units(entry.var))
        for parameter in step.parameters:
            if len(parameter.var.shape) == 1:
                array = self._add(f"vector.{parameter.name}", "vector", units(parameter.var))
                self._loads[parameter.var] = array
        for equation in step.equations:
            values = equation.attribute("values") if equation.op == "const" else ()
            if isinstance(values, tuple) and len(values) > 1 and len(equation.var.shape) == 1:
                name = f"constant.{equation.var.index}"
                self._loads[equation.var] = self._add(name, "vector", len(values))
        self._next: dict[Var, Array] = {}
        for state, new in zip(step.states, step.new_states, strict=True):
            array = self._add(f"state.{state.name}", "state", units(state.var))
            self._add(f"given.{state.name}", "given", units(state.var))
            self._loads[state.var] = array
            self._stores.setdefault(new, []).append(array)
            self._next.setdefault(new, array)
        self._streams: dict[Var, Array] = {}
        self._sums: dict[Var, Array] = {}
        streams = [item.var for item in step.results if not item.summed]
        if not self.collects:
            streams.append(step.output)
        for var in sorted(set(streams), key=lambda var: var.index):
            self._streams[var] = self._add(f"out.{var.index}", "stream", units(var))
            self._stores.setdefault(var, []).append(self._streams[var])
        for item in step.results:
            if item.summed and item.var not in self._sums:
                self._sums[item.var] = self._add(f"sum.{item.var.index}", "sum", units(item.var))

    def _add(self, name: str, kind: Kind, size: int) -> Array:
        array = self.table[name] = Array(name, kind, size)
        return array

    def _groups(self, number: int, region: Region) -> tuple[Group, ...]:
        found: dict[tuple[Var, int], list[tuple[int, Product]]] = {}
        for place, accumulator in enumerate(region.accumulators):
            seen: dict[Var, int] = {}
            for product in accumulator.products:
                turn = seen.get(product.operand, 0)
                seen[product.operand] = turn + 1
                found.setdefault((product.operand, turn), []).append((place, product))
        return tuple(
            Group(
                self._add(f"weights.{number}.{k}", "weights", units(operand)),
                operand,
                tuple(products),
            )
            for k, ((operand, _), products) in enumerate(found.items())
        )

    def slot(self, array: Array, part: str) -> int:
        """The number of a slot of the frame."""
        return self._slots[array.name, part]

    @property
    def slots(self) -> int:
        """The length of the frame."""
        return len(HEADER) + 3 * len(self.table)

    def source(self, var: Var) -> tuple[Array, bool]:
        """Where a value is loaded from; True when it is the half that this step writes."""
        if var in self._loads:
            return self._loads[var], False
        if var in self._next:
            return self._next[var], True
        return self._streams[var], False

    def targets(self, var: Var) -> list[Array]:
        """Where a value is stored."""
        return self._stores.get(var, [])

    def sum_of(self, var: Var) -> Array | None:
        """Where a value is added up over rows and time."""
        return self._sums.get(var)

    def stream_of(self, var: Var) -> Array:
        """The stream that a result is written to."""
        return self._streams[var]


def units(var: Var) -> int:
    """The number of units of a vector; 1 for a number."""
    if not var.shape:
        return 1
    (size,) = var.shape
    assert isinstance(size, int), "sizes are numbers by now"
    return size
