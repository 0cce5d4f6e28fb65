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


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts the script that trains the tiny task: start(directory, training, task=, resume=)."""

    def launch(directory: Path, training: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        }
        return subprocess.Popen(
            [
                sys.executable,
                str(HERE / "training_script.py"),
                str(directory),
                json.dumps({"training": training, **options}),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    return launch


@pytest.fixture
def crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped in its second epoch."""
    from training_crash import StopError, crash_at
    from training_tiny import Tiny

    from elman.training import TrainingConfig, fit

    monkeypatch.setattr("elman.training.loop.EVENT_SECONDS", 0.0)
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    with pytest.raises(StopError):
        fit(
            Tiny(), config, directory=tmp_path, on_event=crash_at(15),
            extra_state={"data": {"fingerprint": "abc"}, "sizes": (1, 2)},
        )  # fmt: skip
    return tmp_path
