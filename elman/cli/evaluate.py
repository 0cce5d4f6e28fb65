"""`elman evaluate`: a run's measures on labelled data, beside its floor's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import elman
from elman.cli.output import show_json
from elman.cli.train import show_measures


def evaluate(
    run: Annotated[Path, Parameter(help="The run directory.")],
    data: Annotated[str, Parameter(help="The labelled texts, or - for standard input.")],
    /,
    *,
    text: Annotated[str | None, Parameter(help="The column of the texts.")] = None,
    label: Annotated[str | None, Parameter(help="The column of the classes.")] = None,
    json: Annotated[bool, Parameter(help="Print everything measured as JSON.")] = False,
) -> None:
    """Measure a run on labelled data, beside the floor that was trained with it."""
    evaluation = elman.load(run).evaluate(data, text=text, label=label)
    if json:
        show_json(evaluation.summary())
    else:
        show_measures(evaluation.summary())
