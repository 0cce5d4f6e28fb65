"""A run killed at any moment and resumed ends with the same bits as one left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 5


def _data(path: Path) -> Path:
    draw = random.Random(1)
    lines = ["text\tlabel"]
    for k in range(500):
        label = ("up", "down", "flat")[k % 3]
        words = draw.choices([f"w{n}" for n in range(200)], k=draw.randint(5, 30))
        words[draw.randrange(len(words))] = label[: draw.randint(2, 4)]
        lines.append(" ".join(words) + "\t" + label)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _start(data: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "elman", "train", "classify", str(data), "--out", str(out)]
    command += ["--epochs", "3", "--hidden", "24", "--training.checkpoint_seconds", "0.2", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_kill_and_resume_give_the_same_weights_to_the_last_bit(tmp_path: Path) -> None:
    data = _data(tmp_path / "data.tsv")
    began = time.monotonic()
    whole = _start(data, tmp_path / "whole")
    assert whole.wait() == 0
    took = time.monotonic() - began
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    draw = random.Random(int(os.environ.get("ELMAN_KILL_SEED", "1")))
    for number in range(KILLS):
        out = tmp_path / f"cut-{number}"
        process = _start(data, out)
        _wait_for(out / "environment.json", process)
        time.sleep(draw.uniform(0, 0.7 * took))
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed = _start(data, out, "--resume")
        assert resumed.wait() == 0
        assert (out / "model.safetensors").read_bytes() == expected


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
