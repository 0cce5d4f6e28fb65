"""Are two steps the same recurrence, up to names and the order of sums and products?

Every value is brought to a normal form, a polynomial over atoms: sums and products are multiplied
out, so that `(1 - z) * n + z * h` and `n + z * (h - n)` look the same. An atom is an input, a
state, a parameter, or any other operation on normal forms. Then two polynomials are compared by a
search for a renaming of parameters, which signatures (atoms without names) keep short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from elman.compiler.ir import Equation, Shape, Size, Step, Var

Item = TypeVar("Item")
Monomial = tuple[tuple[int, int], ...]  # (atom, exponent), sorted by atom
Polynomial = dict[Monomial, float]
Names = dict[str, str]
_TERMS = 48  # products that would have more terms than this are left as they are


def match(step: Step, pattern: Step) -> dict[str, str] | None:
    """The renaming under which `pattern` is `step`, or None.

    States and inputs correspond by position. Sizes other than `input` and `hidden` may differ
    consistently (an integer for a name). Where states start is not compared: it is a value that a
    layer gives.

    Returns:
        From each parameter name of the pattern to that of the step, or None when the graphs differ.
    """
    counts = ("inputs", "states", "parameters")
    if any(len(getattr(step, name)) != len(getattr(pattern, name)) for name in counts):
        return None
    mine, theirs = _Forms(pattern), _Forms(step)
    roots = list(zip(mine.results(), theirs.results(), strict=True))
    search = _Search(mine, theirs)
    for names, _ in search.all_polynomials(roots, ({}, {"input": "input", "hidden": "hidden"})):
        if len(names) == len(pattern.parameters):
            return {name: names[name] for name in (item.name for item in pattern.parameters)}
    return None


@dataclass
class _Atom:
    op: str
    args: tuple[_Key, ...]
    label: object = None
    shape: Shape = ()
    name: str = ""


_Key = tuple[tuple[Monomial, float], ...]  # a polynomial that can be a dictionary's key


class _Forms:
    """The normal forms of all values of a step."""

    def __init__(self, step: Step) -> None:
        self.atoms: list[_Atom] = []
        self.index: dict[object, int] = {}
        self.forms: dict[Var, Polynomial] = {}
        self.marks: dict[object, object] = {}
        self.step = step
        for op, group in (("input", step.inputs), ("state", step.states)):
            for place, item in enumerate(group):
                atom = _Atom(op, (), place, item.var.shape)
                self.forms[item.var] = self._atom((op, place), atom)
        for item in step.parameters:
            atom = _Atom("parameter", (), None, item.var.shape, item.name)
            self.forms[item.var] = self._atom(("parameter", item.name), atom)
        for equation in step.equations:
            self.forms[equation.var] = self._form(equation)

    def results(self) -> list[_Key]:
        """The normal forms of the output and of the new states."""
        return [_key(self.forms[var]) for var in (self.step.output, *self.step.new_states)]

    def _atom(self, key: object, atom: _Atom) -> Polynomial:
        if key not in self.index:
            self.index[key] = len(self.atoms)
            self.atoms.append(atom)
        return {((self.index[key], 1),): 1.0}

    def _form(self, equation: Equation) -> Polynomial:
        args = [self.forms[arg] for arg in equation.args]
        match equation.op:
            case "const" if len(values := equation.attribute("values")) == 1:  # type: ignore[arg-type]
                return _clean({(): float(values[0])})  # type: ignore[index]
            case "add":
                return _sum(args[0], args[1])
            case "sub":
                return _sum(args[0], _scaled(args[1], -1.0))
            case "neg":
                return _scaled(args[0], -1.0)
            case "mul" | "square" if (found := _product(args[0], args[-1])) is not None:
                return found
            case "div" if len(args[1]) == 1:
                return self._quotient(args[0], args[1])
        op = {"square": "mul", "gt": "lt", "ge": "le"}.get(equation.op, equation.op)
        keys = [_key(arg) for arg in (args * 2 if equation.op == "square" else args)]
        if equation.op in ("gt", "ge"):
            keys.reverse()
        if op in ("mul", "maximum", "minimum", "eq", "ne"):
            keys.sort()
        label = equation.attributes
        atom = _Atom(op, tuple(keys), label, equation.var.shape)
        return self._atom((op, tuple(keys), label), atom)

    def _quotient(self, over: Polynomial, under: Polynomial) -> Polynomial:
        ((monomial, factor),) = under.items()
        if factor == 0:
            return self._atom(("div", _key(over), 0.0), _Atom("div", (_key(over),), 0.0))
        inverse = {tuple((atom, -exponent) for atom, exponent in monomial): 1.0 / factor}
        found = _product(over, inverse)
        assert found is not None  # a single term never adds terms
        return found

    def mark(self, key: _Key) -> object:
        """A polynomial without the names of its parameters: equal for all that can match."""
        if key not in self.marks:
            terms = (
                (tuple(sorted((self._atom_mark(a), e) for a, e in monomial)), round(factor, 9))
                for monomial, factor in key
            )
            self.marks[key] = hash(tuple(sorted(terms)))
        return self.marks[key]

    def _atom_mark(self, number: int) -> int:
        atom = self.atoms[number]
        ranks = len(atom.shape)
        inner = [self.mark(arg) for arg in atom.args]
        if atom.op in ("mul", "maximum", "minimum", "eq", "ne"):
            inner.sort(key=hash)
        return hash((atom.op, str(atom.label), ranks, tuple(inner)))


def _key(form: Polynomial) -> _Key:
    return tuple(sorted(form.items()))


def _clean(form: Polynomial) -> Polynomial:
    return {monomial: factor for monomial, factor in form.items() if factor != 0.0}


def _sum(first: Polynomial, second: Polynomial) -> Polynomial:
    total = dict(first)
    for monomial, factor in second.items():
        total[monomial] = total.get(monomial, 0.0) + factor
    return _clean(total)


def _scaled(form: Polynomial, factor: float) -> Polynomial:
    return {monomial: value * factor for monomial, value in form.items()}


def _product(first: Polynomial, second: Polynomial) -> Polynomial | None:
    if len(first) * len(second) > _TERMS:
        return None
    total: Polynomial = {}
    for left, one in first.items():
        for right, other in second.items():
            exponents = dict(left)
            for atom, exponent in right:
                exponents[atom] = exponents.get(atom, 0) + exponent
            monomial = tuple(sorted((a, e) for a, e in exponents.items() if e))
            total[monomial] = total.get(monomial, 0.0) + one * other
    return _clean(total)


_State = tuple[Names, dict[Size, Size]]  # what is renamed so far: parameters, sizes


class _Search:
    """Backtracking over the ways to pair terms and atoms."""

    def __init__(self, pattern: _Forms, step: _Forms) -> None:
        self.pattern = pattern
        self.step = step

    def all_polynomials(self, pairs: list[tuple[_Key, _Key]], state: _State) -> Iterator[_State]:
        """Every renaming under which all pairs are equal."""
        if not pairs:
            yield state
            return
        (mine, theirs), *rest = pairs
        for found in self._polynomial(mine, theirs, state):
            yield from self.all_polynomials(rest, found)

    def _polynomial(self, mine: _Key, theirs: _Key, state: _State) -> Iterator[_State]:
        if len(mine) != len(theirs) or self.pattern.mark(mine) != self.step.mark(theirs):
            return
        yield from self._pair(list(mine), list(theirs), self._term, state)

    def _term(
        self, mine: tuple[Monomial, float], theirs: tuple[Monomial, float], state: _State
    ) -> Iterator[_State]:
        close = abs(mine[1] - theirs[1]) <= 1e-9 * abs(mine[1])
        if close and len(mine[0]) == len(theirs[0]):
            yield from self._pair(list(mine[0]), list(theirs[0]), self._power, state)

    def _power(
        self, mine: tuple[int, int], theirs: tuple[int, int], state: _State
    ) -> Iterator[_State]:
        if mine[1] == theirs[1]:
            yield from self._atom(self.pattern.atoms[mine[0]], self.step.atoms[theirs[0]], state)

    def _pair(
        self,
        mine: list[Item],
        theirs: list[Item],
        compare: Callable[[Item, Item, _State], Iterator[_State]],
        state: _State,
    ) -> Iterator[_State]:
        """Pairs the first of `mine` with each of `theirs` in turn, then the rest."""
        if not mine:
            yield state
            return
        for place, other in enumerate(theirs):
            for found in compare(mine[0], other, state):
                rest = theirs[:place] + theirs[place + 1 :]
                yield from self._pair(mine[1:], rest, compare, found)

    def _atom(self, mine: _Atom, theirs: _Atom, state: _State) -> Iterator[_State]:
        if (mine.op, mine.label) != (theirs.op, theirs.label):
            return
        sizes = _rename_sizes(mine.shape, theirs.shape, state[1])
        if sizes is None:
            return
        if mine.op == "parameter":
            names = state[0]
            if names.get(mine.name, theirs.name) != theirs.name:
                return
            if mine.name not in names and theirs.name in names.values():
                return
            yield {**names, mine.name: theirs.name}, sizes
            return
        orders = [theirs.args]
        if mine.op in ("mul", "maximum", "minimum", "eq", "ne"):
            orders.append(theirs.args[::-1])
        for order in orders:
            pairs = list(zip(mine.args, order, strict=True))
            yield from self.all_polynomials(pairs, (state[0], sizes))


def _rename_sizes(mine: Shape, theirs: Shape, sizes: dict[Size, Size]) -> dict[Size, Size] | None:
    if len(mine) != len(theirs):
        return None
    renamed = dict(sizes)
    for left, right in zip(mine, theirs, strict=True):
        if renamed.get(left, right) != right:
            return None
        if left not in renamed and right in renamed.values():
            return None
        renamed[left] = right
    return renamed
