"""`elman check`: trouble in a data set, found before training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json


def classify(
    data: Annotated[str, Parameter(help="The labelled texts.")],
    /,
    *,
    valid: Annotated[str | None, Parameter(help="The file to validate on.")] = None,
    test: Annotated[str | None, Parameter(help="The file to measure on.")] = None,
    text: Annotated[str | None, Parameter(help="The column of the texts.")] = None,
    label: Annotated[str | None, Parameter(help="The column of the classes.")] = None,
    json: Annotated[bool, Parameter(help="Print the findings as JSON.")] = False,
) -> int:
    """Look for empty rows, texts that stand in two parts, misspelt classes, odd lengths, ...

    The exit code is 1 when something was found that training would stop at.
    """
    parts = [
        elman.data.read_examples(path, text=text, label=label, missing_labels="keep")
        if path
        else None
        for path in (data, valid, test)
    ]
    train = parts[0]
    assert train is not None
    findings = elman.data.check_texts(train, parts[1], parts[2])
    if json:
        show_json({"data": train.facts, "findings": [asdict(finding) for finding in findings]})
    else:
        show("  ".join(f"{name}: {value}" for name, value in train.facts.items() if _short(value)))
        for finding in findings:
            show(f"{finding.severity}: {finding.message}")
            for example in list(finding.examples)[:3]:
                show(f"    {example}")
        if not findings:
            show("Nothing to complain about.")
    return int(any(finding.severity == "error" for finding in findings))


def _short(value: Any) -> bool:
    return value is not None and isinstance(value, (str, int, float, bool))
