"""`elman cells`: the catalogue, and one cell as equations, LaTeX, representation and plan."""

from __future__ import annotations

import inspect
import json as json_text
from dataclasses import asdict
from typing import Annotated, Any, Literal

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json, table
from elman.errors import CellError

Part = Literal["all", "equations", "latex", "ir", "analysis", "plan"]
_USUAL = 128


def cells(
    name: Annotated[str | None, Parameter(help="A cell; all are listed if none is named.")] = None,
    /,
    *,
    show_only: Annotated[Part, Parameter(name="--show", help="What to show of the cell.")] = "all",
    set_values: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="A hyper-parameter, as name=value; may be repeated."),
    ] = (),
    input_size: Annotated[
        int | None, Parameter(help=f"Input size of the plan; {_USUAL}, or what the cell needs.")
    ] = None,
    hidden: Annotated[
        int | None, Parameter(help=f"Units of the plan; {_USUAL}, or what the cell needs.")
    ] = None,
    batch: Annotated[int, Parameter(help="Rows of the plan.", show_default=True)] = 64,
    time: Annotated[int, Parameter(help="Steps of the plan.", show_default=True)] = 256,
    check: Annotated[
        bool, Parameter(help="Compare every kernel with float64, values and gradients.")
    ] = False,
    json: Annotated[bool, Parameter(help="Print as JSON.")] = False,
) -> int:
    """List the cells, or show one: its equations, LaTeX, what the compiler sees, and the plan.

    The exit code is 1 when a check finds a difference.
    """
    if name is None:
        _list(elman.cells.catalogue(), json)
        return 0
    cell = elman.cells.find(name)
    values = _hyperparameters(set_values)
    if check:
        return _check(cell, values, json)
    step = cell.step(**values)
    wanted = ("equations", "latex", "ir", "analysis", "plan") if show_only == "all" else show_only
    parts: dict[str, str] = {}
    if "equations" in wanted:
        parts["equations"] = inspect.getsource(cell.function).rstrip()
    if "latex" in wanted:
        parts["latex"] = elman.compiler.format_latex(step)
    if "ir" in wanted:
        parts["ir"] = elman.compiler.format_text(step).rstrip()
    if "analysis" in wanted:
        parts["analysis"] = _analysis(step)
    if "plan" in wanted:
        sizes = step.fitting(input_size=input_size, hidden_size=hidden, usual=_USUAL)
        layer = elman.nn.Recurrent(cell, *sizes, hyperparameters=values)
        parts["plan"] = str(layer.plan(batch, time))
    if json:
        show_json({"name": cell.name, "source": cell.citation, **parts})
        return 0
    show("\n\n".join(parts.values()))
    return 0


def _check(cell: Any, values: dict[str, Any], json: bool) -> int:
    _, only = cell.step(**values).fitting(usual=0)
    sizes: dict[str, Any] = {"sizes": (only,)} if only else {}
    found = elman.check_cell(cell, hyperparameters=values, **sizes)
    if json:
        show_json({**asdict(found), "good": found.good})
    else:
        show(str(found))
    return int(not found.good)


def _list(catalogue: dict[str, Any], json: bool) -> None:
    rows = [
        {
            "name": name,
            "kind": None if _needs_values(cell) else elman.compiler.analyse(cell.step()).kind,
            "states": list(cell.states),
            "what": cell.doc.split("\n", 1)[0],
            "source": cell.citation,
        }
        for name, cell in catalogue.items()
    ]
    if json:
        show_json(rows)
        return
    show(table([[row["name"], row["kind"] or "-", row["what"]] for row in rows]))


def _needs_values(cell: Any) -> bool:
    return any(value is ... for value in cell.hyperparameters.values())


def _analysis(step: Any) -> str:
    found = elman.compiler.analyse(step)
    levels = {level: sum(1 for at in found.levels.values() if at == level) for level in "PXS"}
    rows = [
        ["kind", found.kind],
        ["products that wait for one another in a step", str(found.depth)],
        ["affine in the state", "yes" if found.affine else "no"],
        ["values of parameters only (P)", str(levels["P"])],
        ["values of inputs (X)", str(levels["X"])],
        ["values of states (S)", str(levels["S"])],
    ]
    return table(rows)


def _hyperparameters(words: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise CellError(f"got --set {word}, wanted name=value.")
        try:
            values[name.strip()] = json_text.loads(text)
        except ValueError:
            values[name.strip()] = text
    return values
