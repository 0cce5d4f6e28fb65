"""A language model for a classifier to begin with: trained on text, then tuned on the task's own.

The three stages of ULMFiT (Howard and Ruder 2018). Both language models are runs of their own in
the classifier's folder, so that each can be looked at, used and resumed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from elman.files import write_text
from elman.tasks import run
from elman.tasks.classify_config import ClassifyConfig
from elman.tasks.lm import LanguageModel, OnEvent
from elman.training import Event

GENERAL, TUNED = "language", "language-tuned"
SHARES = (0.6, 0.15)
"""Of the budget of minutes: for the text at large, and for the task's own texts."""
_PASSES = (2, 2)  # over each, at most, where no budget is given


def with_encoder(
    asked: ClassifyConfig,
    text: str,
    own: Iterable[str],
    folder: Path | None,
    on_event: OnEvent | None,
) -> ClassifyConfig:
    """The settings with a language model to begin with, and the minutes that it leaves.

    Args: as for `pretrained`, which trains it or finds it trained already.
    """
    encoder = pretrained(asked, text, own, folder, on_event)
    minutes = asked.training.minutes
    rest = None if minutes is None else minutes * (1 - sum(SHARES))
    return asked.model_copy(
        update={
            "model": asked.model.model_copy(update={"encoder": encoder}),
            "training": asked.training.model_copy(update={"minutes": rest}),
        }
    )


def as_asked(config: ClassifyConfig, asked: ClassifyConfig) -> ClassifyConfig:
    """The settings of a run with the encoder and the minutes that were asked for.

    So they stand in config.yaml: a run that is begun or resumed with it trains its language model,
    or finds it, and shares the minutes out as the first one did.
    """
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"encoder": asked.model.encoder}),
            "training": config.training.model_copy(update={"minutes": asked.training.minutes}),
        }
    )


def pretrained(
    config: ClassifyConfig,
    text: str,
    own: Iterable[str],
    folder: Path | None,
    on_event: OnEvent | None,
) -> str:
    """The folder of a language model that was trained on `text` and tuned on `own`.

    Args:
        config: the classifier's settings; its tokeniser, seed and minutes count here too.
        text: a file or a folder of running text.
        own: the texts that are to be classified.
        folder: the classifier's run; a temporary folder when it keeps none.
        on_event: is told what happens.
    """
    base = folder or Path(tempfile.mkdtemp(prefix="elman-pretraining-"))
    first, second = base / GENERAL, base / TUNED
    own_file = base / "own.txt"
    lines = (" ".join(item.split()) for item in own)
    write_text(own_file, "\n\n".join(line for line in lines if line) + "\n")
    stages = ((first, text, None, "auto"), (second, str(own_file), str(first), "paragraph"))
    for number, (place, source, start, documents) in enumerate(stages):
        if (place / run.MANIFEST).exists():
            continue
        task = _model(config, number, start, documents)
        resume = run.holds_run(place)
        task.fit(source, out=place, resume=resume, on_event=_without_end(on_event))
    return str(second)


def _model(config: ClassifyConfig, stage: int, start: str | None, documents: str) -> LanguageModel:
    minutes = config.training.minutes
    tokeniser = config.data.tokeniser
    if tokeniser.level == "auto":
        tokeniser = tokeniser.model_copy(update={"level": "word"})
    settings = {
        "data.tokeniser": tokeniser.model_dump(),
        "data.documents": documents,
        "model.tied": True,
        "model.embedding": config.model.embedding,
        "model.start": start,
        "floor.measure": stage == 0,
        "training.seed": config.training.seed,
        "training.epochs": _PASSES[stage] if minutes is None else 50,
        "training.minutes": None if minutes is None else SHARES[stage] * minutes,
    }
    return LanguageModel(config=settings)


def _without_end(on_event: OnEvent | None) -> Callable[[Event], None] | None:
    """What a stage tells, but not that everything is finished."""
    if on_event is None:
        return None

    def told(event: Event) -> None:
        if type(event).__name__ != "Finished":
            on_event(event)

    return told
