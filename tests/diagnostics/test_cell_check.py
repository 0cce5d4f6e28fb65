"""check_cell finds what is wrong, and finds nothing wrong with the catalogue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from elman import cells, check_cell
from elman.cells import R, W, b, catalogue, cell, tanh
from elman.cli.app import main
from elman.diagnostics.cell_check import TRIALS
from elman.errors import CellError
from elman.kernels import launch
from elman.kernels.reference import run_reference

HYPER: dict[str, dict[str, Any]] = {"ClockworkRNN": {"width": 2}}


@cell
def Mine(x, /, h):
    """A cell of one's own."""
    return tanh(W.h @ x + R.h @ h + b.h)


def test_a_cell_of_ones_own() -> None:
    found = check_cell(Mine, sizes=(3,))
    assert found.good
    assert set(found.backends) == {"cpu", "builtin", "reference"}
    assert "all agree" in str(found)


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(call: Any) -> Any:
        y, finals = run_reference(call)
        return y + 1e-3, finals

    row = launch.Backend("wrong", lambda _, _s: None, wrong, "it is wrong")
    monkeypatch.setattr("elman.diagnostics.cell_check.BACKENDS", [row])
    found = check_cell(Mine, sizes=(3,))
    assert not found.good
    assert {item.result for item in found.wrong} == {"the output"}
    assert "the output is off by 0.001" in str(found)


def test_sizes_that_a_cell_cannot_have() -> None:
    with pytest.raises(CellError, match="none of the hidden sizes"):
        check_cell(cells.ClockworkRNN, sizes=(3,), hyperparameters={"width": 2})


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "minGRU", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["good"] is True


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_the_catalogue_agrees(name: str) -> None:
    found = check_cell(
        catalogue()[name],
        sizes=(1, 7, 8, 16, 33, 64, 100, 257),
        hyperparameters=HYPER.get(name),
    )
    assert found.good, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["256", "128"])
@pytest.mark.parametrize("name", ["LSTM", "GRUResetBefore", "LayerNormLSTM", "LEM", "RGLRU", "LMU"])
def test_narrower_processors_agree(name: str, bits: str) -> None:
    call = [sys.executable, "-m", "elman", "cells", name, "--check"]
    done = subprocess.run(
        call, env=os.environ | {"ELMAN_CPU_BITS": bits}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM", "GRUResetAfter", "Elman"])
def test_long_sequences_agree(name: str) -> None:
    trial = type(TRIALS[0])("long", (1000, 1000, 900, 10))
    found = check_cell(
        catalogue()[name], sizes=(33,), trials=[trial], backends=["cpu"], dtypes=[torch.float64]
    )
    assert found.good, str(found)
