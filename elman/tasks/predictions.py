"""Texts into predictions."""

from __future__ import annotations

from collections.abc import Iterable

from elman.errors import DataError
from elman.tasks.fitted import Fitted
from elman.tasks.result import Prediction


def predictions(fitted: Fitted, texts: str | Iterable[str]) -> list[Prediction]:
    """The label of each text, with the probabilities of every class.

    Raises:
        DataError: something is no text.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    wrong = next((text for text in given if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"got {wrong!r} ({type(wrong).__name__}), wanted texts.")
    probabilities = fitted.blend.probabilities(*fitted.scored(given))
    labels = fitted.labels(probabilities)
    return [
        Prediction(
            text,
            tuple(label) if fitted.several else (label,),
            dict(zip(fitted.classes, map(float, row), strict=True)),
            fitted.several,
        )
        for text, label, row in zip(given, labels, probabilities, strict=True)
    ]
