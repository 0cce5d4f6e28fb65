"""Arithmetic on the values of a step in the making: what a rule of the table computes with."""

from __future__ import annotations

from dataclasses import dataclass

from elman.compiler.build import StepBuilder
from elman.compiler.ir import Attribute, Var, Where


@dataclass(frozen=True)
class Term:
    """A value of the step that `build` makes; operators add equations to it."""

    build: StepBuilder
    var: Var
    where: Where | None = None

    def apply(self, op: str, *others: Operand, **attributes: Attribute) -> Term:
        """The primitive `op` of this value and others."""
        args = (self.var, *(self._var(other) for other in others))
        var = self.build.add(op, *args, attributes=tuple(attributes.items()), where=self.where)
        return Term(self.build, var, self.where)

    def _var(self, other: Operand) -> Var:
        return other.var if isinstance(other, Term) else self.number(other).var

    def number(self, value: float) -> Term:
        """A constant."""
        return Term(self.build, self.build.constant((float(value),), (), self.where), self.where)

    def where_true(self, yes: Operand, no: Operand) -> Term:
        """`yes` where this value is not 0, else `no`."""
        return self.apply("where", yes, no)

    def __add__(self, other: Operand) -> Term:
        return self.apply("add", other)

    def __sub__(self, other: Operand) -> Term:
        return self.apply("sub", other)

    def __rsub__(self, other: float) -> Term:
        return self.number(other).apply("sub", self)

    def __mul__(self, other: Operand) -> Term:
        return self.apply("mul", other)

    def __rmul__(self, other: float) -> Term:
        return self.apply("mul", other)

    def __truediv__(self, other: Operand) -> Term:
        return self.apply("div", other)

    def __neg__(self) -> Term:
        return self.apply("neg")

    def __gt__(self, other: Operand) -> Term:
        return self.apply("gt", other)


Operand = Term | float
