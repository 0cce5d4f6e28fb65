"""`elman check`: trouble in a data set, found before training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from elman.cli.output import show, show_json
from elman.cli.settings import read_settings


def classify(
    data: Annotated[str, Parameter(help="The labelled texts.")],
    /,
    *,
    valid: Annotated[str | None, Parameter(help="The file to validate on.")] = None,
    test: Annotated[str | None, Parameter(help="The file to measure on.")] = None,
    text: Annotated[str | None, Parameter(help="The column of the texts.")] = None,
    label: Annotated[str | None, Parameter(help="The column of the classes.")] = None,
    json: Annotated[bool, Parameter(help="Print the findings as JSON.")] = False,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> int:
    """Look for rows that cannot be read, empty rows, texts that stand in two parts, ...

    The files are read as `elman train classify` reads them, with the same --data.KEY VALUE. The
    exit code is 1 when something was found that training would stop at.
    """
    from elman.tasks.checking import check_files

    named = {"data.text": text, "data.label": label}
    settings = read_settings(None, overrides or {})
    settings |= {key: column for key, column in named.items() if column is not None}
    facts, findings = check_files(data, valid, test, settings=settings)
    if json:
        show_json({"data": facts, "findings": [asdict(finding) for finding in findings]})
    else:
        show("  ".join(f"{name}: {value}" for name, value in facts.items() if _short(value)))
        for finding in findings:
            show(f"{finding.severity}: {finding.message}")
            for example in list(finding.examples)[:3]:
                show(f"    {example}")
        if not findings:
            show("Nothing to complain about.")
    return int(any(finding.severity == "error" for finding in findings))


def _short(value: Any) -> bool:
    return value is not None and isinstance(value, (str, int, float, bool))
