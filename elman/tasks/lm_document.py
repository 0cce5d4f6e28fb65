"""What a run of a language model says of itself: its `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from os import fspath
from typing import Any

import elman
from elman.data.corpus import EncodedCorpus
from elman.tasks import run
from elman.tasks.lm_files import FittedText
from elman.tasks.lm_measurement import LmEvaluation
from elman.tasks.lm_preparation import PreparedText, Source
from elman.tasks.run_command import command
from elman.tasks.validation_part import origin


def run_document(
    fitted: FittedText,
    made: PreparedText,
    evaluation: LmEvaluation,
    *,
    data: Source,
    held: Mapping[str, Source | float | None],
    name: str,
    samples: Mapping[int, str],
    seconds: float,
) -> dict[str, Any]:
    """The document of a finished run.

    Args:
        fitted, made, evaluation: the model, what it was trained on and how it was measured.
        data: what was read; held: the parts valid and test, as they were given.
        name: of the run.
        samples: texts by their seed.
        seconds: from the start to the measurement.
    """
    return {
        "format": 1,
        "elman": elman.__version__,
        "task": "lm",
        "name": name,
        "created": run.now(),
        "seconds": seconds,
        "command": command(),
        "samples": [{"seed": seed, "text": text} for seed, text in samples.items()],
        "passage": fitted.surprises((made.test or made.valid).ids[:601]),
        "data": _data(made, data, held),
        "model": {
            "parameters": sum(p.numel() for p in fitted.network.parameters()),
            "cell": fitted.config.model.cell,
            "level": getattr(made.tokeniser, "level", None),
            "vocabulary": made.tokeniser.size,
        },
        "evaluation": {
            **evaluation.facts,
            "metrics": dict(evaluation.metrics),
            "by_position": dict(evaluation.by_position),
        },
        "floor": dict(evaluation.floor) if evaluation.floor else None,
        "tried": dict(made.floor.tried) if made.floor else None,
        "sentence": evaluation.sentence,
    }


def _data(
    made: PreparedText, data: Source, held: Mapping[str, Source | float | None]
) -> dict[str, dict[str, Any]]:
    parts = {"train": made.train, "valid": made.valid, "test": made.test}
    found = {name: _facts(part, fspath(data)) for name, part in parts.items() if part is not None}
    for name, given in held.items():
        if given is not None:
            found[name] |= origin(given)
    return found


def _facts(part: EncodedCorpus, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "rows": part.documents,
        "tokens": {"total": part.predicted},
        "characters": part.characters,
        "fingerprint": part.fingerprint,
        "unknown_share": part.unknown / max(1, part.predicted),
    }
