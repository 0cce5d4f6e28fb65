"""The order of work inside of one step: stages, regions, and what passes between them in memory.

A region is one size of vector and everything that is done unit by unit: sums of matrix products
(accumulators), then pointwise work on their results. Regions of a later stage start when all units
of the values that they multiply or sum over are there. Pointwise values are computed as late as
they can be, so that few of them pass from region to region; cheap ones are computed twice rather
than stored, values of size 1 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from elman.compiler.ir import Equation, Step, Var
from elman.compiler.lower import Sums, count_uses
from elman.compiler.primitives import PRIMITIVES

_AGAIN = 2  # operations an element up to which a value is computed twice rather than passed on


@dataclass(frozen=True)
class Product:
    """`matrix @ operand`, or `matrix.T @ operand`, or their negative."""

    matrix: Var
    operand: Var
    transposed: bool = False
    negative: bool = False


@dataclass(frozen=True)
class Accumulator:
    """`var = start + the sum of the products`; without a start, from 0."""

    var: Var
    products: tuple[Product, ...]
    start: Var | None = None


@dataclass(frozen=True)
class Region:
    """What is done for each unit of vectors of one size, in one stage.

    Attributes:
        stage: regions of a stage may run in any order.
        size: the number of units.
        accumulators: sums of products, before the equations.
        equations: pointwise work in order; arguments that neither an accumulator nor an earlier
            equation gives are loaded.
        stores: values that leave the region: to another one, as a state, as a result.
    """

    stage: int
    size: int
    accumulators: tuple[Accumulator, ...]
    equations: tuple[Equation, ...]
    stores: tuple[Var, ...]


@dataclass(frozen=True)
class Reduction:
    """`var = sum of operand over its units`, at the beginning of a stage."""

    stage: int
    var: Var
    operand: Var


@dataclass(frozen=True)
class Schedule:
    """One step as regions and reductions in order.

    Attributes:
        step: what is scheduled.
        parts: in order.
        passed: values that pass from part to part through memory, one vector a row.
        waits: numbers of the parts after which every thread must have caught up when units, not
            rows, are dealt to threads.
    """

    step: Step
    parts: tuple[Region | Reduction, ...]
    passed: tuple[Var, ...]
    waits: frozenset[int] = field(default_factory=frozenset)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The parts that are regions."""
        return tuple(part for part in self.parts if isinstance(part, Region))


def schedule(step: Step) -> Schedule:
    """Orders the work of a step whose sizes are numbers and whose inputs have left the loop."""
    return _Scheduling(step).run()


@dataclass
class _Node:
    """An accumulator, a pointwise equation or a reduction in the making."""

    var: Var
    args: tuple[Var, ...]  # needed unit by unit
    whole: tuple[Var, ...]  # needed in all units
    equation: Equation | None = None
    accumulator: Accumulator | None = None
    earliest: int = 0
    stage: int = 0


class _Scheduling:
    def __init__(self, step: Step) -> None:
        self.step = step
        self.made = {equation.var: equation for equation in step.equations}
        self.sums = Sums(step)
        self.uses = count_uses(step)
        self.next = max(var.index for var in step.vars()) + 1
        self.constants = {e.var for e in step.equations if e.op == "const"}
        outside = (*step.inputs, *step.states, *step.parameters)
        self.memory = {item.var for item in outside}
        self.results = {step.output, *step.new_states, *(item.var for item in step.results)}
        self.nodes: dict[Var, _Node] = {}
        self._collect()
        self._place()

    # -- nodes

    def _collect(self) -> None:
        inner: set[Var] = set()
        for var in self.sums.tops:
            terms = self.sums.terms(var)
            if any(self._single(term.var) for term in terms):
                inner.update(self._chain(var))
        for equation in self.step.equations:
            if equation.var in self.constants or equation.op == "transpose":
                continue
            if equation.var in self.sums.tops and equation.var in inner:
                self._sum(equation)
            elif equation.op == "matmul":
                if not (self._single(equation.var) and equation.var in inner):
                    self._accumulate(equation.var, (self._product(equation.var, False),), None)
            elif equation.var not in inner:
                args = tuple(a for a in equation.args if a not in self.constants)
                whole = args if equation.op == "sum" else ()
                self.nodes[equation.var] = _Node(
                    equation.var, () if whole else args, whole, equation=equation
                )

    def _single(self, var: Var) -> bool:
        return var in self.made and self.made[var].op == "matmul" and self.uses[var] == 1

    def _chain(self, top: Var) -> set[Var]:
        """The sum, its inner sums and its products."""
        found, open_ = {top}, [top]
        terms = {term.var for term in self.sums.terms(top)}
        while open_:
            for arg in self.made[open_.pop()].args:
                if arg in terms:
                    if self._single(arg):
                        found.add(arg)
                elif arg not in found:
                    found.add(arg)
                    open_.append(arg)
        return found

    def _sum(self, equation: Equation) -> None:
        """A sum with products in it: an accumulator, then what else is added."""
        terms = self.sums.terms(equation.var)
        products = [t for t in terms if self._single(t.var)]
        rest = [t for t in terms if not self._single(t.var)]
        same = [t for t in rest if t.var.shape == equation.var.shape and not t.negative]
        start = next((t for t in same if t.var in self.memory and self._is_read(t.var)), None)
        rest = [t for t in rest if t is not start]
        total = equation.var if not rest else self._fresh(equation.var)
        made = tuple(self._product(t.var, t.negative) for t in products)
        self._accumulate(total, made, start.var if start else None)
        for number, term in enumerate(rest):
            var = equation.var if number == len(rest) - 1 else self._fresh(equation.var)
            op = "sub" if term.negative else "add"
            args = tuple(a for a in (total, term.var) if a not in self.constants)
            added = Equation(var, op, (total, term.var), (), equation.where)
            self.nodes[var] = _Node(var, args, (), equation=added)
            total = var

    def _is_read(self, var: Var) -> bool:
        return any(var == item.var for item in (*self.step.inputs, *self.step.parameters))

    def _fresh(self, like: Var) -> Var:
        self.next += 1
        return Var(self.next - 1, like.shape)

    def _product(self, var: Var, negative: bool) -> Product:
        matrix, operand = self.made[var].args
        transposed = matrix in self.made and self.made[matrix].op == "transpose"
        if transposed:
            matrix = self.made[matrix].args[0]
        return Product(matrix, operand, transposed, negative)

    def _accumulate(self, var: Var, products: tuple[Product, ...], start: Var | None) -> None:
        whole = tuple(dict.fromkeys(product.operand for product in products))
        args = (start,) if start else ()
        self.nodes[var] = _Node(var, args, whole, accumulator=Accumulator(var, products, start))

    # -- stages

    def _place(self) -> None:
        nodes = self.nodes
        for node in nodes.values():
            stages = [nodes[a].earliest for a in node.args if a in nodes]
            stages += [nodes[a].earliest + 1 for a in node.whole if a in nodes]
            stages += [
                nodes[a].earliest + 1 for a in node.args if a in nodes and self._foreign(node, a)
            ]
            node.earliest = max(stages, default=0)
        latest: dict[Var, int] = {}
        for node in reversed(nodes.values()):
            node.stage = node.earliest
            if node.var not in self.results and node.var in latest:
                node.stage = max(node.earliest, latest[node.var])
            for arg in node.args:
                limit = node.stage - self._foreign(node, arg)
                latest[arg] = min(latest.get(arg, limit), limit)
            for arg in node.whole:
                latest[arg] = min(latest.get(arg, node.stage - 1), node.stage - 1)

    def _foreign(self, node: _Node, arg: Var) -> bool:
        """Whether an argument of another size comes from another region."""
        if units_of(arg) == units_of(node.var) or arg not in self.nodes:
            return False
        return not self._repeated(arg)

    def _repeated(self, var: Var) -> bool:
        """A cheap pointwise value of size 1: computed again wherever it is used."""
        node = self.nodes.get(var)
        if node is None or not self._is_point(node) or units_of(var) != 1:
            return False
        return self._work(var) <= _AGAIN

    def _work(self, var: Var) -> float:
        """Operations from memory, and from sums, which begin a stage, to a value of size 1.

        Infinite if a product is among them: its region may not have done it yet.
        """
        node = self.nodes[var]
        if node.accumulator is not None or node.equation is None:
            return inf
        if not self._is_point(node):
            return 0
        made = (self._work(arg) for arg in node.args if arg in self.nodes)
        return PRIMITIVES[node.equation.op].flops + sum(made)

    @staticmethod
    def _is_point(node: _Node) -> bool:
        return node.equation is not None and PRIMITIVES[node.equation.op].elementwise

    # -- regions

    def run(self) -> Schedule:
        groups: dict[tuple[int, int], list[_Node]] = {}
        sums: list[Reduction] = []
        for node in self.nodes.values():
            if node.equation is not None and node.equation.op == "sum":
                sums.append(Reduction(node.stage, node.var, node.equation.args[0]))
            else:
                groups.setdefault((node.stage, units_of(node.var)), []).append(node)
        home = {n.var: key for key, group in groups.items() for n in group}
        contents = {key: self._contents(key, group, home) for key, group in groups.items()}
        passed = self._passed(contents, sums)
        parts: list[Region | Reduction] = [*sums]
        for (stage, size), (accumulators, equations) in contents.items():
            given = {a.var for a in accumulators} | {e.var for e in equations}
            own = [v for v in given if home.get(v) == (stage, size)]
            stores = [v for v in own if v in self.results or v in passed]
            stores.sort(key=lambda var: var.index)
            parts.append(Region(stage, size, accumulators, equations, tuple(stores)))
        loose = self._loose(set(home))
        if loose:
            parts.extend(self._carrying(loose, parts))
        parts = [p for p in parts if isinstance(p, Reduction) or p.stores]
        parts.sort(key=lambda part: (part.stage, isinstance(part, Region)))
        order = tuple(sorted(passed, key=lambda var: var.index))
        return Schedule(self.step, tuple(parts), order, self._waits(parts))

    def _loose(self, home: set[Var]) -> list[Var]:
        """Results that no region computes: states, inputs and constants given back."""
        sums = {n.var for n in self.nodes.values() if n.equation and n.equation.op == "sum"}
        return [var for var in self.results if var not in home and var not in sums]

    def _carrying(self, loose: list[Var], parts: list[Region | Reduction]) -> list[Region]:
        """Has a region of the first stage store what is only handed on, or makes one for it."""
        made: list[Region] = []
        for size in {units_of(var) for var in loose}:
            stores = tuple(var for var in loose if units_of(var) == size)
            for number, part in enumerate(parts):
                if isinstance(part, Region) and part.stage == 0 and part.size == size:
                    stores += part.stores
                    parts[number] = Region(0, size, part.accumulators, part.equations, stores)
                    break
            else:
                made.append(Region(0, size, (), (), stores))
        return made

    def _contents(
        self, key: tuple[int, int], group: list[_Node], home: Mapping[Var, tuple[int, int]]
    ) -> tuple[tuple[Accumulator, ...], tuple[Equation, ...]]:
        """A region's accumulators and equations, with those computed again."""
        accumulators = tuple(n.accumulator for n in group if n.accumulator is not None)
        equations: list[Equation] = []
        done: set[Var] = {a.var for a in accumulators}

        def need(var: Var) -> None:
            node = self.nodes.get(var)
            if var in done or node is None or node.equation is None:
                return
            if home.get(var) != key and not self._again(var, key, home):
                return
            done.add(var)
            if not self._is_point(node):
                return
            for arg in node.args:
                need(arg)
            equations.append(node.equation)

        for node in group:
            need(node.var)
        return accumulators, tuple(equations)

    def _again(self, var: Var, key: tuple[int, int], home: Mapping[Var, tuple[int, int]]) -> bool:
        """Whether a region computes a value of an earlier one again instead of loading it."""
        if self._repeated(var):
            return True
        cost = self._cost(var, key, home)
        return cost is not None and cost <= _AGAIN

    def _cost(
        self, var: Var, key: tuple[int, int], home: Mapping[Var, tuple[int, int]]
    ) -> int | None:
        if var in self.memory or var in self.constants or home.get(var) == key:
            return 0
        node = self.nodes.get(var)
        if node is None or not self._is_point(node) or node.equation is None:
            return None
        total = PRIMITIVES[node.equation.op].flops
        for arg in node.args:
            cost = self._cost(arg, key, home)
            if cost is None:
                return None
            total += cost
        return total

    def _passed(
        self,
        contents: Mapping[tuple[int, int], tuple[tuple[Accumulator, ...], tuple[Equation, ...]]],
        sums: list[Reduction],
    ) -> set[Var]:
        found = {item.var for item in sums} | {item.operand for item in sums}
        for accumulators, equations in contents.values():
            given = {a.var for a in accumulators} | {e.var for e in equations}
            found.update(p.operand for a in accumulators for p in a.products)
            for equation in equations:
                found.update(arg for arg in equation.args if arg not in given)
        return {var for var in found if var not in self.memory and var not in self.constants}

    def _waits(self, parts: list[Region | Reduction]) -> frozenset[int]:
        """Parts that end a stage in which something was made that others need in all units."""
        states = dict(zip((s.var for s in self.step.states), self.step.new_states, strict=True))
        shared: set[Var] = set()
        for part in parts:
            if isinstance(part, Reduction):
                shared |= {part.var, part.operand}
                continue
            for accumulator in part.accumulators:
                shared.update(product.operand for product in accumulator.products)
            shared.update(a for e in part.equations for a in e.args if units_of(a) < part.size)
        shared |= {states[var] for var in shared if var in states}
        waits: set[int] = set()
        for number, part in enumerate(parts):
            last = number + 1 == len(parts) or parts[number + 1].stage != part.stage
            stage = [p for p in parts if p.stage == part.stage]
            stores = {v for p in stage for v in (p.stores if isinstance(p, Region) else (p.var,))}
            if last and stores & shared:
                waits.add(number)
        return frozenset(waits)


def units_of(var: Var) -> int:
    """The number of units of a vector; 1 for a number."""
    if not var.shape:
        return 1
    assert len(var.shape) == 1
    assert isinstance(var.shape[0], int)
    return var.shape[0]
