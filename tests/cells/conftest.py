"""The evaluator of `tests/compiler/evaluator.py` for the tests of this folder."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

EVALUATOR = Path(__file__).parents[1] / "compiler" / "evaluator.py"


@pytest.fixture(scope="session")
def oracle():
    """`oracle.evaluate` and `oracle.random_values`."""
    return SimpleNamespace(**runpy.run_path(str(EVALUATOR)))
