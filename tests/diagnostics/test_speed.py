"""The measuring of speed measures what it says; figures themselves are no test."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from elman.cli.app import main
from elman.diagnostics import speed, speed_peers
from elman.diagnostics.speed_loops import LOOPS
from elman.diagnostics.speed_peers import jax_layer, onnx_layer


def test_ratios_stand_elman_beside_each_peer() -> None:
    times = {"torch f": 4.0, "torch f+b": 9.0, "onnxruntime f": 2.0, "elman f": 2.0,
             "elman f+b": 3.0, "elman int8 f": 1.0}  # fmt: skip
    found = {(item.case, item.peer): item.ratio for item in speed.ratios("LSTM", times)}
    assert found == {
        ("LSTM f", "torch"): 2.0,
        ("LSTM f", "onnxruntime"): 1.0,
        ("LSTM f+b", "torch"): 3.0,
        ("LSTM int8 f", "torch"): 4.0,
        ("LSTM int8 f", "onnxruntime"): 2.0,
    }
    assert speed.geometric_mean(list(speed.ratios("x", {"a f": 4.0, "elman f": 1.0}))) == 4.0


def test_every_call_is_made() -> None:
    counts = {"a": 0, "b": 0}

    def call(name: str) -> None:
        counts[name] += 1

    times = speed.interleaved({name: partial(call, name) for name in counts}, 0.01)
    assert set(times) == {"a", "b"}
    assert min(counts.values()) >= 7


@pytest.mark.parametrize("make", [speed.padded, speed.ragged])
@pytest.mark.parametrize("kind", speed.KINDS)
def test_both_sides_do_the_same_work(make: Any, kind: str) -> None:
    calls = make(kind, 3, 9, 8)
    assert {"torch f", "torch f+b", "elman f", "elman f+b"} <= set(calls)
    for call in calls.values():
        call()


def test_a_step_of_each_format() -> None:
    for call in speed.one_step("GRU", 8, 2).values():
        call()


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_onnx_layer_is_torchs(kind: str) -> None:
    pytest.importorskip("onnxruntime")
    layer = getattr(torch.nn, kind)(3, 4)
    x = torch.randn(5, 2, 3)
    run = onnx_layer(layer, x)
    assert run is not None
    got: Any = run()
    torch.testing.assert_close(torch.tensor(got[0][:, 0]), layer(x)[0].detach())


@pytest.mark.parametrize("kind", speed.KINDS)
def test_the_jax_layer_is_torchs(kind: str) -> None:
    pytest.importorskip("jax")
    layer = getattr(torch.nn, kind)(3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)
    owed = torch.randn(5, 2, 4)
    calls: Any = jax_layer(layer, x, owed)
    wanted = layer(x)[0]
    wanted.backward(owed)
    torch.testing.assert_close(torch.tensor(calls["jax f"]().tolist()), wanted.detach())
    y, (weights, input_) = calls["jax f+b"]()
    torch.testing.assert_close(torch.tensor(y.tolist()), wanted.detach())
    torch.testing.assert_close(torch.tensor(input_.tolist()), x.grad)
    for name, value in layer.named_parameters():
        torch.testing.assert_close(torch.tensor(weights[name].tolist()), value.grad)


def test_without_jax_nothing_stands_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_peers, "find_spec", lambda _: None)
    layer, x = torch.nn.GRU(3, 4), torch.randn(5, 2, 3)
    assert jax_layer(layer, x, torch.randn(5, 2, 4)) == {}


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_loop_stands_beside_its_cell(name: str) -> None:
    calls = speed.beside_loops(name.removesuffix(" scan"), (2, 3, 8), [name])
    label = "parallel scan" if name.endswith("scan") else "loop"
    assert set(calls) == {f"{who} {way}" for who in (label, "elman") for way in ("f", "f+b")}
    for call in calls.values():
        call()


def test_the_share_of_the_peak() -> None:
    found = speed.Ratio("LSTM padded 2x5x32 f+b", "torch", 2.0, 0.5)
    assert speed.gflops_of(found) == pytest.approx(speed.work_of("LSTM", (2, 5, 32), "f+b") / 0.5)
    for case in ("LSTM ragged 2x5x32 f", "GRU one step, 256 units, step"):
        assert speed.gflops_of(speed.Ratio(case, "torch", 1.0, 1.0)) is None


def test_bench_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {"GRU padded 2x3x8": partial(speed.padded, "GRU", 2, 3, 8)}
    monkeypatch.setattr(speed, "standard_cases", lambda **_: cases)
    monkeypatch.setattr(speed, "peak", lambda _seconds: {"torch.mm": 1.0})
    assert main(["bench", "--seconds", "0.01", "--out", str(tmp_path / "b"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {item["peer"] for item in printed["ratios"]} >= {"torch"}
    assert json.loads((tmp_path / "b" / "bench.json").read_text()) == printed
    assert (tmp_path / "b" / "bench.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["bench", "--seconds", "0.01"]) == 0
    assert "ratio" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRUResetAfter", 3), ("Elman", 1)])
def test_work_counts_matrix_products(name: str, gates: int) -> None:
    once = speed.work_of(name, (2, 5, 32), "f")
    assert once == pytest.approx(2 * 5 * gates * 2 * (32 * 32 + 32 * 32) / 1e6)
    assert speed.work_of(name, (2, 5, 32), "f+b") == pytest.approx(3 * once)
