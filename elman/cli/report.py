"""`elman report`: the report and the model card of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json


def report(
    run: Annotated[Path, Parameter(help="The run directory.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print where it is as JSON.")] = False,
) -> None:
    """Write report.html, card.md and the pictures of a run from what the run recorded."""
    page = elman.diagnostics.write_report(run)
    if json:
        card = run / "card.md"
        show_json({"report": str(page), "card": str(card) if card.exists() else None})
    else:
        show(str(page))
