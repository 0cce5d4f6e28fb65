"""Ranks and sizes of traced values, found by unification over the whole graph.

Ranks first: inputs, states and all that depends on them are vectors; the left of `@` is a matrix;
element by element operations join the ranks of their operands; a parameter that nothing decides
is a vector. Then sizes: a matrix has the hidden size as rows unless the notation says otherwise
(`W[1].s`), columns and vectors take the size of what they meet, and what stays open is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable

from elman.compiler.build import Origin, size_rank
from elman.compiler.ir import Size
from elman.compiler.primitives import PRIMITIVES
from elman.compiler.symbols import Traced, Tracer


class Extent:
    """A size to be found: a class of a union-find; `names` are the sizes known to be in it."""

    __slots__ = ("names", "parent", "soft")

    def __init__(self, size: Size | None = None, *, soft: bool = False) -> None:
        self.parent: Extent = self
        self.names: set[Size] = set() if size is None else {size}
        self.soft = soft  # the length of a constant: it may have to equal a symbolic size

    def root(self) -> Extent:
        """The class that this extent belongs to."""
        node = self
        while node.parent is not node:
            node.parent = node.parent.parent
            node = node.parent
        return node

    @property
    def size(self) -> Size | None:
        """The most telling name of the class; None while it is open."""
        names = self.root().names
        return min(names, key=size_rank) if names else None


def _join(first: Extent, second: Extent) -> None:
    first, second = first.root(), second.root()
    if first is not second:
        first.soft = (first.soft or not first.names) and (second.soft or not second.names)
        second.parent = first
        first.names |= second.names


class Inference:
    """Gives every node of a trace its shape, and the step its constraints."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.ranks: dict[Traced, int] = {}
        self.conflicts: set[Traced] = set()
        self.decided_at: dict[Traced, Origin | None] = {}
        self.extents: dict[Traced, tuple[Extent, ...]] = {}
        self.products: list[tuple[Traced, Extent, Extent]] = []

    def run(self, sizes: dict[Traced, Size | None]) -> None:
        """Infers all shapes; `sizes` holds those of inputs and states (None: to be found)."""
        nodes = [node for node in self.tracer.nodes if node.op != "unknown"]
        before = len(self.tracer.mistakes)
        self._find_ranks(nodes)
        if len(self.tracer.mistakes) > before:
            return
        for node in nodes:
            self._leaf(node, sizes)
        for node in nodes:
            self._operation(node)
        for node, left, right in self.products:
            self._check_product(node, left, right)
        self._close(nodes, sizes)

    # Ranks

    def _find_ranks(self, nodes: list[Traced]) -> None:
        for node in nodes:
            if node.op == "const":
                assert node.shape is not None
                self.ranks[node] = len(node.shape)
            elif node.level != "P":
                self.ranks[node] = 1
        while True:
            while sum(self._spread(node) for node in nodes):  # all of them, not the first
                pass
            free = next((n for n in nodes if n.op == "parameter" and n not in self.ranks), None)
            if free is None:
                return
            self.ranks[free] = 1

    def _spread(self, node: Traced) -> bool:
        """One round of the rank rules at a node; True when something became known."""
        row = PRIMITIVES.get(node.op)
        if row is None or not row.arity:
            return False
        if node.op == "matmul":
            changed = self._set(node.args[0], 2, node)
            return self._same((node, node.args[1]), node) or changed
        if node.op == "transpose":
            return any([self._set(node, 2, node), self._set(node.args[0], 2, node)])
        if row.reduces:
            return any([self._set(node, 1, node), self._set(node.args[0], 1, node)])
        return self._same((node, *node.args), node)

    def _same(self, group: tuple[Traced, ...], at: Traced) -> bool:
        known = [self.ranks[node] for node in group if node in self.ranks]
        rank = max(known, default=0)
        if 1 in known and 2 in known:
            matrix = next(node for node in group[::-1] if self.ranks.get(node) == 2)
            self._rank_conflict(matrix, at)
            return False
        if not rank:
            if len(known) == len(group) - 1 and at not in self.ranks:
                self.ranks[at] = 0
                return True
            return False
        return sum(self._set(node, rank, at) for node in group) > 0

    def _set(self, node: Traced, rank: int, at: Traced) -> bool:
        known = self.ranks.get(node)
        if known is None:
            self.ranks[node] = rank
            self.decided_at[node] = at.where
            return True
        if known != rank and known:
            self._rank_conflict(node, at)
        return False

    def _rank_conflict(self, node: Traced, at: Traced) -> None:
        if at in self.conflicts:
            return
        self.conflicts.add(at)
        first = self.decided_at.get(node)
        as_matrix, as_vector = "as a matrix", "as a vector"
        if self.ranks[node] == 1:
            as_matrix, as_vector = as_vector, as_matrix
        place = f" in line {first.line}" if first and first.line else ""
        hint = "A matrix stands left of `@`; beside a vector everything is a vector."
        if node.op == "parameter":
            hint = f"{hint} Give one of the two parameters another name."
        self.tracer.mistake(
            f"{node.describe()} is used {as_matrix}{place} and {as_vector}", hint, at.where
        )

    # Sizes

    def _leaf(self, node: Traced, sizes: dict[Traced, Size | None]) -> None:
        rank = self.ranks.get(node, 0)
        if node.op in ("input", "state"):
            self.extents[node] = (Extent(sizes[node]),)
        elif node.op == "parameter":
            rows = Extent(node.rows) if node.rows or rank == 1 else Extent("hidden")
            self.extents[node] = (rows, Extent())[:rank]
        elif node.op == "const":
            assert node.shape is not None
            self.extents[node] = tuple(Extent(size, soft=True) for size in node.shape)

    def _operation(self, node: Traced) -> None:
        if node in self.extents or any(arg.op == "unknown" for arg in node.args):
            return
        row, args = PRIMITIVES[node.op], [self.extents[arg] for arg in node.args]
        if node.op == "matmul":
            (rows, columns), value = args
            if columns.size is None or value[0].size is None:
                _join(columns, value[0])
            self.products.append((node, columns, value[0]))
            self.extents[node] = (rows, *value[1:])
        elif node.op == "transpose":
            self.extents[node] = args[0][::-1]
        elif row.reduces:
            self.extents[node] = args[0] if node.op == "norm" else (Extent(1),)
        else:
            ranked = [extents for extents in args if extents]
            columns_of = zip(*ranked, strict=True)
            self.extents[node] = tuple(self._broadcast(node, list(col)) for col in columns_of)

    def _broadcast(self, node: Traced, column: list[Extent]) -> Extent:
        wide = [extent for extent in column if extent.root().names != {1}]
        for other in wide[1:]:
            self._unify(node, wide[0], other)
        return wide[0] if wide else column[0]

    def _unify(self, node: Traced, first: Extent, second: Extent) -> None:
        first, second = first.root(), second.root()
        if first is second:
            return
        if first.names and second.names and not _compatible(first, second):
            self.tracer.mistake(
                f"sizes {first.size} and {second.size} meet in one operation",
                "Map one by a matrix (W.name @ value), or annotate a state (m: 'order').",
                node.where,
            )
            return
        _join(first, second)

    def _check_product(self, node: Traced, left: Extent, right: Extent) -> None:
        left, right = left.root(), right.root()
        if left is right or left.names == right.names:
            return
        if left.soft or right.soft or not (left.names and right.names):
            self._unify(node, left, right)
            return
        matrix, value = node.args
        self.tracer.mistake(
            f"{matrix.describe()} has {left.size} columns and {value.describe()} "
            f"has size {right.size}",
            "One name is one parameter of one shape: give the second a name of its own.",
            node.where,
        )

    def _close(self, nodes: Iterable[Traced], sizes: dict[Traced, Size | None]) -> None:
        """Open sizes become hidden; every node gets its shape."""
        for node in nodes:
            extents = self.extents.get(node)
            if extents is None:
                continue
            for extent in extents:
                if extent.size is None:
                    if node.op == "input":
                        self._open_input(node)
                    extent.root().names.add("hidden")
            if node.op == "const":
                continue  # keeps its numbers, which a constraint may equate with a symbolic size
            node.shape = tuple(self._size(extent) for extent in extents)
            if node.op in ("input", "state") and (declared := sizes[node]) is not None:
                node.shape = (declared,)

    def _open_input(self, node: Traced) -> None:
        self.tracer.mistake(
            f"the size of the input {node.node_name} does not follow from the equations",
            f"Annotate it with a number or a hyper-parameter: {node.node_name}: 1.",
            node.where,
        )

    def _size(self, extent: Extent) -> Size:
        size = extent.size
        assert size is not None
        return size

    def equal_sizes(self) -> list[tuple[Size, Size]]:
        """The constraints: pairs of sizes that the equations need to be equal."""
        found: dict[tuple[Size, Size], None] = {}
        for extents in self.extents.values():
            for extent in extents:
                first, *others = sorted(extent.root().names, key=size_rank)
                for other in others:
                    found[(first, other)] = None
        return list(found)


def _compatible(first: Extent, second: Extent) -> bool:
    """May two known sizes be equal? Numbers must be; a state's own size is never hidden."""
    numbers = {size for size in first.names | second.names if isinstance(size, int)}
    if len(numbers) > 1:
        return False
    if not numbers:
        return True
    holder = first if any(isinstance(size, int) for size in first.names) else second
    return holder.soft or holder.names > numbers or first.names == second.names
