"""Fixtures of the training tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Start:
    """Starts the script that trains the tiny task: start(directory, training, task=, resume=)."""

    def launch(directory: Path, training: dict[str, Any], **options: Any) -> Any:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        }
        return subprocess.Popen(
            [
                sys.executable,
                str(HERE / "script.py"),
                str(directory),
                json.dumps({"training": training, **options}),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    return launch
