"""`elman demo`: the whole way on data that comes along - train, measure, predict, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import elman
from elman.cli.demo_names import LANGUAGES, write_names
from elman.cli.output import number, say, show, table
from elman.cli.progress import watching
from elman.cli.train import finish

# Names that stand in none of the lists.
_UNSEEN = (
    "Jeffrey Elman",
    "Sepp Hochreiter",
    "Kyunghyun Cho",
    "Björk Þorvaldsdóttir",
    "Ayşe Yıldız",
)


def demo(
    *,
    out: Annotated[
        Path | None, Parameter(help="The run directory; runs/demo if not named.")
    ] = None,
    minutes: Annotated[
        float, Parameter(help="The budget of training time.", show_default=True)
    ] = 3.0,
    epochs: Annotated[int, Parameter(help="At most so many passes.", show_default=True)] = 12,
    seed: Annotated[int, Parameter(help="The seed of everything random.", show_default=True)] = 1,
    json: Annotated[bool, Parameter(help="Print the result as JSON.")] = False,
) -> None:
    """Learn which of sixteen languages a name is from, on data inside the package Faker.

    Nothing is downloaded. No name of the test part was seen in training.
    """
    folder = out or elman.tasks.free_name(Path("runs/demo"))
    parts = write_names(folder / "data", seed)
    say(f"Which of {len(LANGUAGES)} languages is a name from? The names are in {folder / 'data'}.")
    settings = {
        "data.text": "name",
        "data.label": "language",
        "data.tokeniser": {"level": "char", "lowercase": False, "min_count": 1},
        # Names are short and clean: a small embedding, and little noise on the characters.
        "model.embedding": 64,
        "model.embedding_dropout": 0.1,
        "model.word_dropout": 0.0,
        "model.dropout": 0.3,
        "training.lr": 4e-3,
    }
    task = elman.Classifier(config=settings, epochs=epochs, minutes=minutes, seed=seed)
    with watching() as on_event:
        result = task.fit(
            str(parts["train"]),
            valid=str(parts["valid"]),
            test=str(parts["test"]),
            out=folder,
            on_event=on_event,
        )
    predictions = result.task.predict(list(_UNSEEN))
    if json:
        finish(
            {**result.summary(), "predictions": [item.as_dict() for item in predictions]},
            folder,
            json=True,
        )
        return
    rows = [[item.text, item.label, number(item.probability, 2)] for item in predictions]
    show(table(rows))
    show()
    finish(result.summary(), folder, json=False)
