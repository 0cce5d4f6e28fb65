"""Tables, numbers, durations and progress."""

from __future__ import annotations

import json
import math

import pytest

from elman.cli import progress
from elman.cli.output import duration, finite, number, show_json, table
from elman.training import Finished, Note, Started, Step, Validated


def test_table_aligns_words_and_numbers() -> None:
    text = table([["accuracy", "0.91", "-"], ["f", "12", "0.5"]], head=["", "model", "floor"])
    assert text.splitlines() == [
        "          model  floor",
        "accuracy   0.91      -",
        "f            12    0.5",
    ]
    assert table([["电影", "a"], ["film", "b"]]).splitlines() == ["电影  a", "film  b"]
    assert table([]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (75.3, "1 min 15 s"), (3700, "1 h 01 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": (1, None)}, "e": "é电"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": {"d": [1, None]}, "e": "é电"}
    assert "电" in text
    assert finite(True) is True and number(None) == number(math.nan) == "-"


def _events():
    yield Started(2, 10, 1234, "cpu", 1, "32", 3.0, None)
    yield Step(1, 2, 5, 10, 0.5, 1e-3, 2.0, 75.0, 0.5, 1.0)
    yield Validated(1, 5, {"accuracy": 0.75}, True, 0.5, 2.5, 0.5)
    yield Note("something to know")
    yield Finished(2, 10, 5.0, "epochs", 0.75, 1, 5)


def test_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.watching() as on_event:
        for event in _events():
            on_event(event)
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "1,234 parameters" in caught.err and "at most 3 min" in caught.err
    assert "epoch 1/2, step 5/10, loss 0.5000, 1 min 15 s left" in caught.err
    assert "accuracy 0.7500  (best so far)" in caught.err
    assert "something to know" in caught.err


def test_plain_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching() as on_event:
        for step in range(1000):
            on_event(Step(1, 1, step, 1000, 0.5, 1e-3, 2.0, math.inf, step / 1000))
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress.watching() as on_event:
        for event in _events():
            on_event(event)
    shown = terminal.getvalue()
    assert "epoch 1/2" in shown and "loss 0.5000" in shown and "1 min 15 s left" in shown
    assert "something to know" in shown
