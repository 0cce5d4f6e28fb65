"""`elman train lm`: from running text to a run directory, with n-grams beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.options import NONE, TrainOptions
from elman.cli.output import number, show, table
from elman.cli.progress import watching
from elman.cli.train import finish, show_places

MEASURES = {
    "nats": "nats a token",
    "perplexity": "perplexity",
    "nats_per_character": "nats a character",
    "bits_per_character": "bits a character",
    "bits_per_byte": "bits a byte",
}


def lm(
    data: Annotated[str, Parameter(help="Text: a file, a folder, JSON Lines, or - for stdin.")],
    /,
    *,
    valid: Annotated[
        str | None, Parameter(help="A file to validate on, or the share of the end to keep for it.")
    ] = None,
    test: Annotated[
        str | None, Parameter(help="A file to measure on, or the share of the end to keep for it.")
    ] = None,
    level: Annotated[
        str | None, Parameter(help="char, byte, word or subword; found if not named.")
    ] = None,
    start: Annotated[
        str | None, Parameter(help="A run to go on from: its tokeniser, sizes and weights.")
    ] = None,
    preset: Annotated[
        str, Parameter(help="A recipe: default, char, word, awd-lstm, deep.", show_default=True)
    ] = "default",
    text: Annotated[str | None, Parameter(help="The column of the text, of rows.")] = None,
    documents: Annotated[
        str | None, Parameter(help="What is one document: file, line or paragraph.")
    ] = None,
    tbptt: Annotated[int | None, Parameter(help="Steps backpropagated through at once.")] = None,
    options: TrainOptions = NONE,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> None:
    """Train a language model and measure it beside n-grams.

    The state is carried from window to window and starts anew with each document; the n-grams'
    order and smoothing are chosen on the validation part. Any other setting is named as
    --section.key VALUE; every setting stands in the run's config.yaml.
    """
    settings = options.settings(overrides, data__text=text, data__documents=documents)
    task = elman.LanguageModel(
        preset, settings, **options.named(), level=level, tbptt=tbptt, start=start
    )
    folder = options.folder("lm", data)
    with watching() as on_event:
        result = task.fit(
            data, valid=valid, test=test, out=folder, resume=options.resume, on_event=on_event
        )

    def show_result(document: Mapping[str, Any], folder: Path, report: Path | None) -> None:
        show_text_measures(result.evaluation)
        following = ("generate {run} --prompt 'your text' --stream", "evaluate {run} other.txt")
        show_places(document, folder, report, *following)

    finish(dict(result.document), folder, json=options.json, show_result=show_result)


def show_text_measures(evaluation: Any) -> None:
    """Prints the model's measures beside the floor's."""
    beside = evaluation.floor["metrics"] if evaluation.floor else {}
    rows = [
        [title, number(evaluation.metrics[key]), number(beside.get(key))]
        for key, title in MEASURES.items()
    ]
    facts = evaluation.facts
    show(table(rows, head=[f"{facts['split']}, {facts['tokens']:,} tokens", "model", "floor"]))
    show(f"Context: {facts['context']}.")
    if "fresh" in facts:
        fresh = facts["fresh"]
        show(f"Windows of {fresh['window']} tokens, each from a fresh start: "
             f"{number(fresh['nats'])} nats a token.")  # fmt: skip
    show(evaluation.sentence)
