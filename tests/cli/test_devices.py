"""Several processes train a classifier, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes_train_a_classifier(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    rows = [f"{'good' if k % 2 else 'bad'} word{k % 17} film,{'ny'[k % 2]}" for k in range(300)]
    data.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    train = ["train", "classify", str(data), "--devices", "2", "--epochs", "6", "--hidden", "16"]
    _elman(*train, "--model.members", "1", "--floor.blend", "false", "--out", str(out))
    found = json.loads(_elman("evaluate", str(out), str(data), "--json"))
    assert found["evaluation"]["metrics"]["accuracy"] > 0.95
    assert _elman("predict", str(out), "a good film").split()[0] == "y"


def _elman(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "elman", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
