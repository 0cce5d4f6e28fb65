"""One folder of machine code for all tests of the backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _machine_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("ELMAN_CACHE_DIR")
    os.environ["ELMAN_CACHE_DIR"] = str(Path(tmp_path_factory.mktemp("machine")) / "code")
    yield
    if before is None:
        del os.environ["ELMAN_CACHE_DIR"]
    else:
        os.environ["ELMAN_CACHE_DIR"] = before
