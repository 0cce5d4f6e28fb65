"""Tasks: fit, evaluate, predict, save, load. They return values and never print."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.classify import Classifier as Classifier
    from elman.tasks.classify_config import PRESETS as PRESETS
    from elman.tasks.classify_config import ClassifyConfig as ClassifyConfig
    from elman.tasks.floor import Floor as Floor
    from elman.tasks.floor import fit_floor as fit_floor
    from elman.tasks.lm import LanguageModel as LanguageModel
    from elman.tasks.loading import load as load
    from elman.tasks.result import CrossValidation as CrossValidation
    from elman.tasks.result import Evaluation as Evaluation
    from elman.tasks.result import FewShot as FewShot
    from elman.tasks.result import Prediction as Prediction
    from elman.tasks.result import Result as Result
    from elman.tasks.run import free_name as free_name

_HOMES = {
    "Classifier": "classify",
    "LanguageModel": "lm",
    "load": "loading",
    "PRESETS": "classify_config",
    "ClassifyConfig": "classify_config",
    "Floor": "floor",
    "fit_floor": "floor",
    "CrossValidation": "result",
    "Evaluation": "result",
    "FewShot": "result",
    "Prediction": "result",
    "Result": "result",
    "free_name": "run",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
