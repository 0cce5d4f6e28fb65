"""`elman evaluate`: a run's measures on data, beside its floor's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import elman
from elman.cli.output import show_json
from elman.cli.settings import read_settings
from elman.cli.train import show_measures
from elman.cli.train_lm import show_text_measures
from elman.errors import ConfigError


def evaluate(
    run: Annotated[Path, Parameter(help="The run directory.")],
    data: Annotated[str, Parameter(help="Labelled texts or running text, or - for stdin.")],
    /,
    *,
    text: Annotated[str | None, Parameter(help="The column of the texts.")] = None,
    label: Annotated[str | None, Parameter(help="The column of the classes.")] = None,
    last: Annotated[
        float | None, Parameter(help="Language models: only this share of the text's end.")
    ] = None,
    dynamic: Annotated[
        bool, Parameter(help="Language models: go on learning from what was predicted.")
    ] = False,
    json: Annotated[bool, Parameter(help="Print everything measured as JSON.")] = False,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> None:
    """Measure a run on data, beside the floor that was trained with it.

    DATA is read as the training file was, with the same columns. What is written otherwise is read
    with --data.KEY VALUE, for instance --data.delimiter tab.
    """
    from elman.tasks.reading import changed

    task = elman.load(run)
    settings = read_settings(None, overrides or {})
    if isinstance(task, elman.LanguageModel):
        if label is not None:
            raise ConfigError("a language model has no labels.", where="--label")
        task.config = changed(task.config, settings, trained=True)
        found = task.evaluate(data, text=text, dynamic=dynamic, last=last)
        if json:
            show_json(asdict(found))
        else:
            show_text_measures(found)
        return
    if dynamic or last is not None:
        raise ConfigError("--dynamic and --last are for language models.")
    evaluation = task.evaluate(data, text=text, label=label, settings=settings)
    if json:
        show_json(evaluation.summary())
    else:
        show_measures(evaluation.summary())
