"""The evaluator of `evaluator.py` for the tests of this folder."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def oracle():
    """`oracle.evaluate` and `oracle.random_values`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("evaluator.py"))))
