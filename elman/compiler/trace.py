"""From a function to a step: run it on symbolic values, infer shapes, report mistakes."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import NoReturn

from elman.compiler.build import Origin, StepBuilder, named
from elman.compiler.infer import Inference
from elman.compiler.ir import Size, Step, Var
from elman.compiler.primitives import say_shape
from elman.compiler.simplify import simplify
from elman.compiler.symbols import AbandonedError, Mistake, Traced, Tracer
from elman.compiler.verify import verify
from elman.errors import CellError, did_you_mean

Hyper = object
Annotation = str | int | None


@dataclass(frozen=True)
class Signature:
    """What the signature of a cell's function declares; `...` marks a value without a default."""

    inputs: tuple[tuple[str, Annotation], ...]
    states: tuple[tuple[str, Annotation, float], ...]
    hyperparameters: Mapping[str, Hyper]


def place_of(function: FunctionType) -> Origin:
    """The file and line of the `def` (also below decorators), with its text when known."""
    code = function.__code__
    line = code.co_firstlineno
    for number in range(line, line + 20):
        text = linecache.getline(code.co_filename, number).strip()
        if text.startswith(("def ", "async def ", "lambda")):
            return Origin(code.co_filename, number, text)
    return Origin(code.co_filename, line)


def read_signature(function: FunctionType) -> Signature:
    """Rule 1: inputs before `/`, states after it, hyper-parameters after `*`.

    Raises:
        CellError: no input or no state, a default that is not a number, `*args` or `**kwargs`.
    """
    inputs: list[tuple[str, Annotation]] = []
    states: list[tuple[str, Annotation, float]] = []
    hyperparameters: dict[str, Hyper] = {}
    problems: list[str] = []
    for name, entry in inspect.signature(function).parameters.items():
        annotation = _annotation(entry.annotation)
        if entry.kind is entry.POSITIONAL_ONLY:
            inputs.append((name, annotation))
            if entry.default is not entry.empty:
                problems.append(f"the input {name} has a default; only states start somewhere.")
        elif entry.kind is entry.POSITIONAL_OR_KEYWORD:
            start = 0.0 if entry.default is entry.empty else entry.default
            if isinstance(start, (bool, int, float)) or hasattr(start, "__float__"):
                states.append((name, annotation, float(start)))
            else:
                problems.append(f"the state {name} starts as {start!r}, which is not a number.")
        elif entry.kind is entry.KEYWORD_ONLY:
            hyperparameters[name] = ... if entry.default is entry.empty else entry.default
        else:
            problems.append(f"`{entry}` is not allowed: name every input, state and setting.")
    if not inputs:
        problems.append("there is no input; inputs stand before `/`: def Cell(x, /, h).")
    if not states:
        problems.append("there is no state; states stand after `/`: def Cell(x, /, h).")
    if problems:
        place = place_of(function)
        _raise(function.__name__, [Mistake(text.rstrip("."), place) for text in problems], place)
    return Signature(tuple(inputs), tuple(states), hyperparameters)


def _annotation(annotation: object) -> Annotation:
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, str):
        return annotation.strip("'\" ")  # from __future__ import annotations keeps the quotes
    if isinstance(annotation, int) and not isinstance(annotation, bool):
        return annotation
    return str(getattr(annotation, "__name__", annotation))


def trace(
    function: Callable[..., object],
    hyperparameters: Mapping[str, Hyper] | None = None,
    *,
    name: str | None = None,
) -> Step:
    """Traces a cell's function: a verified and simplified step.

    Args:
        function: the equations, in the notation of `docs/reference/notation.md`.
        hyperparameters: values for those after `*`; the defaults fill in the rest.
        name: how the step is called; the function's own name by default.

    Raises:
        CellError: the function is not written in the notation; all mistakes found are listed, each
            with its source line and what to do.
    """
    if not isinstance(function, FunctionType):
        raise CellError(f"{function!r} is not a Python function, so it has no equations.")
    signature = read_signature(function)
    place = place_of(function)
    tracer = Tracer(name or function.__name__, function.__code__)
    hyper = _hyperparameters(tracer.name, signature, hyperparameters or {}, place)
    sizes: dict[Traced, Size | None] = {}
    for position, (entry, annotation) in enumerate(signature.inputs):
        size = _size(tracer, entry, annotation, hyper, place)
        default = "input" if position == 0 else None
        sizes[tracer.leaf("input", entry, "X")] = default if annotation is None else size
    for entry, annotation, _ in signature.states:
        size = _size(tracer, entry, annotation, hyper, place)
        sizes[tracer.leaf("state", entry, "S")] = "hidden" if annotation is None else size
    for node in sizes:
        node.where = place
    results = _run(function, tracer, list(sizes), hyper)
    results = _check_results(tracer, results, len(signature.states), place)
    inference = Inference(tracer)
    inference.run(sizes)
    states = [node for node in sizes if node.op == "state"]
    _check_sizes(tracer, states, results[-len(states) :], inference)
    if tracer.mistakes:
        _raise(tracer.name, tracer.mistakes, place)
    step = _finish(tracer, signature, results, inference, place)
    step = verify(simplify(verify(step)))
    _check_read(step)
    return step


def _hyperparameters(
    name: str, signature: Signature, given: Mapping[str, Hyper], place: Origin
) -> dict[str, Hyper]:
    known = signature.hyperparameters
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known) or "It has none."
            raise CellError(f"{name} has no hyper-parameter {key!r}.", where=str(place), hint=hint)
    values = {**known, **given}
    missing = [key for key, value in values.items() if value is ...]
    if missing:
        raise CellError(
            f"{name} needs a value for {', '.join(missing)}.",
            where=str(place),
            hint=f"Give it as a hyper-parameter: {missing[0]}=...",
        )
    return values


def _size(
    tracer: Tracer, entry: str, annotation: Annotation, hyper: Mapping[str, Hyper], place: Origin
) -> Size | None:
    """The size behind an annotation: a number, `hidden`, `input`, or a hyper-parameter's value."""
    if annotation is None or annotation in ("hidden", "input"):
        return annotation
    value = hyper.get(annotation) if isinstance(annotation, str) else annotation
    if isinstance(annotation, str) and annotation.isdecimal():
        value = int(annotation)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    got = f", which is {value!r}" if annotation in hyper else ""
    hint = "A size is a positive number, 'hidden', 'input' or the name of a hyper-parameter."
    tracer.mistake(f"{entry} is annotated with {annotation!r}{got}", hint, place)
    return "hidden"


def _run(
    function: FunctionType, tracer: Tracer, leaves: list[Traced], hyper: Mapping[str, Hyper]
) -> list[object]:
    try:
        value = tracer.activate(lambda: function(*leaves, **hyper))
    except AbandonedError:
        _raise(tracer.name, tracer.mistakes, place_of(function))
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _check_results(
    tracer: Tracer, values: list[object], states: int, place: Origin
) -> list[Traced]:
    """The output and the new states, as nodes."""
    if len(values) not in (states, states + 1):
        tracer.mistake(
            f"{_count(len(values), 'value')} returned for {_count(states, 'state')}",
            "Return the new states in order, with at most an output before them.",
            place,
        )
        _raise(tracer.name, tracer.mistakes, place)
    results: list[Traced] = []
    for value in values:
        node = tracer.activate(lambda value=value: tracer.lift(value, place))
        assert isinstance(node, Traced)
        if node.op != "unknown" and node.level == "P":
            tracer.mistake(
                f"{node.describe()} is returned, which depends on neither an input nor a state",
                "A new state and an output are computed from x or the states.",
                node.where or place,
            )
        results.append(node)
    return [results[0], *results] if len(values) == states else results


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _check_sizes(
    tracer: Tracer, states: list[Traced], results: list[Traced], inference: Inference
) -> None:
    for state, new in zip(states, results, strict=True):
        mine, its = inference.extents.get(state), inference.extents.get(new)
        if mine is None or its is None or state.shape is None or not new.shape:
            continue
        if mine[0].root() is not its[0].root() and state.shape != new.shape:
            tracer.mistake(
                f"the state {state.node_name} has size {state.shape[0]}, "
                f"and a value of shape {say_shape(new.shape)} is returned for it",
                f"Map it by a matrix, or annotate the state in the signature "
                f"({state.node_name}: {new.shape[0]!r}).",
                new.where,
            )


def _finish(
    tracer: Tracer,
    signature: Signature,
    results: list[Traced],
    inference: Inference,
    place: Origin,
) -> Step:
    build = StepBuilder(tracer.name, inference.equal_sizes())
    values: dict[Traced, Var] = {}
    initial = {name: start for name, _, start in signature.states}
    for node in tracer.nodes:
        assert node.shape is not None
        if node.op == "input":
            values[node] = build.input(node.node_name, node.shape)
        elif node.op == "state":
            values[node] = build.state(node.node_name, node.shape, initial[node.node_name])
        elif node.op == "parameter":
            values[node] = build.parameter(node.node_name, node.shape)
        else:
            where = named(node.where, node.node_name)
            if node.op == "const":
                numbers = dict(node.attributes)["values"]
                assert isinstance(numbers, tuple)
                values[node] = build.constant(numbers, node.shape, where)
            else:
                args = (values[arg] for arg in node.args)
                values[node] = build.add(node.op, *args, attributes=node.attributes, where=where)
    output, *new_states = [values[node] for node in results]
    return build.finish(output, new_states, place)


def _check_read(step: Step) -> None:
    read = {arg for equation in step.equations for arg in equation.args} | {step.output}
    for position, state in enumerate(step.states):
        others = (new for place, new in enumerate(step.new_states) if place != position)
        if state.var not in read and state.var not in others:
            raise CellError(
                f"the state {state.name} of {step.name} is never read.",
                where=str(step.where),
                hint="Use it in an equation, or take it out of the signature.",
            )


def _raise(name: str, mistakes: list[Mistake], place: Origin) -> NoReturn:
    """Raises the mistakes as one CellError; never returns."""
    if len(mistakes) == 1:
        only = mistakes[0]
        text = f" in `{only.where.text}`" if only.where and only.where.text else ""
        raise CellError(
            f"{name}: {only.message}{text}.", where=str(only.where or place), hint=only.hint
        )
    lines = "".join(f"\n  {mistake}" for mistake in mistakes)
    raise CellError(f"{name} has {len(mistakes)} mistakes:{lines}", where=str(place))
