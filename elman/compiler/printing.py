"""Steps in plain text and in LaTeX, as a paper would write them.

Both go the same way: `_Layout` decides which equations get a line and a name (those that the user
named, that are used twice, or that are results); everything else is written inside the line that
uses it. A `_Style` then says how numbers, names and parameters look.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from elman.compiler.analyse import levels_of
from elman.compiler.build import name_of
from elman.compiler.ir import Equation, Step, Var
from elman.compiler.primitives import ATOM, CALL, NEGATION, PRIMITIVES, PRODUCT, say_shape

_GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda",
    "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
})  # fmt: skip


def format_text(step: Step) -> str:
    """The step as plain text: signature, parameters with their shapes, and the equations.

    Before each equation stands its level (P: once a call, X: all steps at once, S: in the time
    loop). A new state is written with a prime.
    """
    layout = _Layout(step)
    style = _Text(layout)
    inputs = ", ".join(f"{item.name} {say_shape(item.var.shape)}" for item in step.inputs)
    states = ", ".join(
        f"{item.name} {say_shape(item.var.shape)}"
        + (f" from {_number(item.initial)}" if item.initial else "")
        for item in step.states
    )
    lines = [f"{step.name}: inputs {inputs}; states {states}"]
    by_shape: dict[str, list[str]] = {}
    for item in step.parameters:
        by_shape.setdefault(say_shape(item.var.shape), []).append(item.name)
    lines += [f"  parameters {shape}: {', '.join(names)}" for shape, names in by_shape.items()]
    for number, equation in enumerate(layout.arrays.values(), 1):
        lines.append(f"  constant {say_shape(equation.var.shape)}: C{number}")
    lines += [f"  {left} = {right}" for left, right in style.constraints()]
    lines += [f"  {level}  {left} = {right}" for level, left, right in _lines(layout, style)]
    return "\n".join(lines) + "\n"


def format_latex(step: Step) -> str:
    """The equations as a LaTeX `aligned` environment, to be put in display mathematics.

    Values of the step carry the index t, old states t-1, parameters none; `odot` is the product
    element by element. Needs the package amsmath.
    """
    layout = _Layout(step)
    lines = [f"{left} &= {right}" for _, left, right in _lines(layout, _Latex(layout))]
    body = " \\\\\n".join(f"  {line}" for line in lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _lines(layout: _Layout, style: _Style) -> list[tuple[str, str, str]]:
    """Level, left and right side of every line."""
    step, levels = layout.step, layout.levels
    lines = [
        (levels[equation.var], style.defined(equation.var), style.write(equation))
        for equation in step.equations
        if equation.var in layout.names
    ]
    for state, new in zip(step.states, step.new_states, strict=True):
        left = style.new_state(state.name)
        if layout.names.get(new) != _Name(state.name, new=True):
            lines.append((levels[new], left, style.operand(new).text))
    own_line = layout.names.get(step.output) == _Name("", output=True)
    if step.output != step.new_states[0] and not own_line:
        lines.append((levels[step.output], style.output(), style.operand(step.output).text))
    return lines


@dataclass(frozen=True)
class _Name:
    """How a line is called: the user's name, the `number`th of that name; or a new state."""

    name: str
    number: int = 0
    new: bool = False
    output: bool = False


@dataclass(frozen=True)
class _Piece:
    """Something written, and how strongly it binds."""

    text: str
    binds: int


class _Layout:
    """Which equations of a step stand on a line of their own, and under which name."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.levels = levels_of(step)
        self.made = {equation.var: equation for equation in step.equations}
        self.leaves = {item.var: item for item in (*step.inputs, *step.states, *step.parameters)}
        self.arrays = {e.var: e for e in step.equations if e.op == "const" and e.var.shape}
        self.names = self._names()

    def _names(self) -> dict[Var, _Name]:
        results: dict[Var, _Name] = {}
        for state, new in zip(self.step.states, self.step.new_states, strict=True):
            if new in self.made:
                results.setdefault(new, _Name(state.name, new=True))
        if self.step.output in self.made:
            results.setdefault(self.step.output, _Name("", output=True))
        uses = Counter(arg for equation in self.step.equations for arg in equation.args)
        taken = {item.name for item in (*self.step.inputs, *self.step.states)}
        lines: list[tuple[Var, str]] = []
        for equation in self.step.equations:
            if equation.op == "const" or equation.var in results:
                continue
            if name_of(equation):
                lines.append((equation.var, name_of(equation)))
            elif uses[equation.var] > 1 and equation.op != "transpose":
                lines.append((equation.var, "v"))
        total = Counter(name for _, name in lines)
        seen: Counter[str] = Counter()
        for var, name in lines:
            seen[name] += 1
            alone = total[name] == 1 and name not in taken and name != "v"
            results[var] = _Name(name, 0 if alone else seen[name])
        return results


_FLAT = (("add", "add"), ("add", "sub"), ("mul", "mul"))  # right operands without parentheses


class _Style:
    """Writes equations; the two children say how text and LaTeX look."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout
        self.numbers = {var: number for number, var in enumerate(layout.arrays, 1)}

    def constraints(self) -> list[tuple[str, str]]:
        """The sizes that have to be equal."""
        return [(f"size {left}", str(right)) for left, right in self.layout.step.constraints]

    def defined(self, var: Var) -> str:
        """The left side of the line that defines `var`."""
        name = self.layout.names[var]
        if name.new:
            return self.new_state(name.name)
        return self.output() if name.output else self.value(name, self.layout.levels[var])

    def operand(self, var: Var) -> _Piece:
        """A value where it is used: its name, or its equation written inside."""
        if var in self.layout.leaves:
            return _Piece(self.leaf(var), ATOM)
        if var in self.layout.names:
            return _Piece(self.defined(var), ATOM)
        return self.expression(self.layout.made[var])

    def write(self, equation: Equation) -> str:
        """The right side of a line."""
        return self.expression(equation).text

    def expression(self, equation: Equation) -> _Piece:
        """An equation with its operands, and how strongly the whole binds."""
        if equation.op == "const":
            return self.constant(equation)
        row = PRIMITIVES[equation.op]
        args = [self.operand(arg) for arg in equation.args]
        if not row.text:
            texts = [arg.text for arg in args]
            return _Piece(self.call(equation, texts), CALL)
        return self.operator(equation, args)

    def operator(self, equation: Equation, args: list[_Piece]) -> _Piece:
        """An operator between or beside its operands, parenthesised where needed."""
        row = PRIMITIVES[equation.op]
        texts: list[str] = []
        for place, arg in enumerate(args):
            inner = self.layout.made.get(equation.args[place])
            inside = inner.op if inner is not None and arg.binds < CALL else ""
            loose = arg.binds < row.precedence
            if place and arg.binds == row.precedence:
                loose = (equation.op, inside) not in (
                    ("add", "add"),
                    ("add", "sub"),
                    ("mul", "mul"),
                )
            if row.precedence == PRODUCT and "matmul" in (inside, equation.op):
                loose = loose or (bool(inside) and arg.binds <= PRODUCT)
            texts.append(self.parenthesised(arg.text) if loose else arg.text)
        return _Piece(self.template(equation, texts), row.precedence)

    def leaf(self, var: Var) -> str:
        raise NotImplementedError

    def new_state(self, name: str) -> str:
        raise NotImplementedError

    def output(self) -> str:
        raise NotImplementedError

    def value(self, name: _Name, level: str) -> str:
        raise NotImplementedError

    def constant(self, equation: Equation) -> _Piece:
        raise NotImplementedError

    def call(self, equation: Equation, args: list[str]) -> str:
        raise NotImplementedError

    def template(self, equation: Equation, args: list[str]) -> str:
        raise NotImplementedError

    def parenthesised(self, text: str) -> str:
        raise NotImplementedError


def _number(value: float) -> str:
    return f"{value:.9g}"  # 1.0 as 1, -inf as -inf


class _Text(_Style):
    def leaf(self, var: Var) -> str:
        return self.layout.leaves[var].name

    def new_state(self, name: str) -> str:
        return f"{name}'"

    def output(self) -> str:
        return "output"

    def value(self, name: _Name, level: str) -> str:  # noqa: ARG002 - text has no time index
        return f"{name.name}{name.number or ''}"

    def constant(self, equation: Equation) -> _Piece:
        if equation.var in self.numbers:
            return _Piece(f"C{self.numbers[equation.var]}", ATOM)
        return _scalar(equation, _number)

    def call(self, equation: Equation, args: list[str]) -> str:
        settings = [
            f"{key}={_number(float(value))}"
            for key, value in equation.attributes
            if isinstance(value, (int, float))
        ]
        return f"{equation.op}({', '.join(args + settings)})"

    def template(self, equation: Equation, args: list[str]) -> str:
        return PRIMITIVES[equation.op].text.format(*args)

    def parenthesised(self, text: str) -> str:
        return f"({text})"


def _scalar(equation: Equation, write: Callable[[float], str]) -> _Piece:
    values = equation.attribute("values")
    assert isinstance(values, tuple)
    return _Piece(write(values[0]), ATOM if values[0] >= 0 else NEGATION)


class _Latex(_Style):
    def leaf(self, var: Var) -> str:
        item = self.layout.leaves[var]
        if item in self.layout.step.inputs:
            return f"{_symbol(item.name)}_t"
        if item in self.layout.step.states:
            return f"{_symbol(item.name)}_{{t-1}}"
        return _parameter(item.name)

    def new_state(self, name: str) -> str:
        return f"{_symbol(name)}_t"

    def output(self) -> str:
        names = {item.name for item in (*self.layout.step.inputs, *self.layout.step.states)}
        names |= {name.name for name in self.layout.names.values()}
        return "y_t" if "y" not in names else r"\mathrm{out}_t"

    def value(self, name: _Name, level: str) -> str:
        index = "" if level == "P" else "_t"
        order = f"^{{({name.number})}}" if name.number else ""
        return f"{_symbol(name.name)}{index}{order}"

    def constant(self, equation: Equation) -> _Piece:
        if equation.var in self.numbers:
            return _Piece(f"C_{{{self.numbers[equation.var]}}}", ATOM)
        return _scalar(equation, _latex_number)

    def call(self, equation: Equation, args: list[str]) -> str:
        text = PRIMITIVES[equation.op].latex.format(*args)
        return _grown(text) if any(_tall(arg) for arg in args) else text

    def expression(self, equation: Equation) -> _Piece:
        if equation.op != "div":
            return super().expression(equation)
        over, under = (self.operand(arg).text for arg in equation.args)
        return _Piece(PRIMITIVES["div"].latex.format(over, under), CALL)

    def template(self, equation: Equation, args: list[str]) -> str:
        if equation.op == "mul":
            narrow = [var.shape in ((), (1,)) for var in equation.args]
            if any(narrow):
                first, second = args if narrow[0] else args[::-1]
                return f"{first} \\, {second}"
        return PRIMITIVES[equation.op].latex.format(*args)

    def parenthesised(self, text: str) -> str:
        return rf"\left( {text} \right)" if _tall(text) else f"({text})"


def _latex_number(value: float) -> str:
    if abs(value) == float("inf"):
        return r"-\infty" if value < 0 else r"\infty"
    mantissa, _, exponent = _number(value).partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _tall(text: str) -> bool:
    return r"\frac" in text or r"\begin" in text


def _grown(text: str) -> str:
    """The outer parentheses of a call as large as what they hold."""
    first, last = text.find("("), text.rfind(")")
    if first < 0 or last != len(text) - 1:
        return text
    return rf"{text[:first]}\left( {text[first + 1 : last]} \right)"


def _symbol(name: str) -> str:
    """A name as a symbol: `i`, `\\phi`, `\\mathrm{loga}`."""
    if name == "eps":
        return r"\epsilon"
    if name in _GREEK:
        return rf"\{name}"
    escaped = name.replace("_", r"\_")
    return name if len(name) == 1 else rf"\mathrm{{{escaped}}}"


def _parameter(name: str) -> str:
    """`W.i` as W_i, `R.h[2]` as R_h^{(2)}, `g.W.i` as g_{W_i}."""
    space, _, rest = name.partition(".")
    if "." in rest:
        return f"{_symbol(space)}_{{{_parameter(rest)}}}"
    base, *keys = re.findall(r"[^\[\]]+", rest)
    order = "".join(f"^{{({','.join(_plain(key) for key in keys)})}}" for _ in keys[:1])
    return f"{_symbol(space)}_{{{_symbol(base)}}}{order}"


def _plain(key: str) -> str:
    return key if key.isdecimal() else _symbol(key)


__all__ = ["format_latex", "format_text"]
