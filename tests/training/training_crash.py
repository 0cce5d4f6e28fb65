"""Runs that crash, and what their logs must hold afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elman.training import Event, Step, read_events

EXTRA = {"data": {"fingerprint": "abc"}, "sizes": [1, 2]}


class StopError(Exception):
    """Ends a run from within, as a crash would."""


def crash_at(step: int) -> Any:
    def crash(event: Event) -> None:
        if isinstance(event, Step) and event.step >= step:
            raise StopError

    return crash


def check_log(path: Path, steps: int) -> None:
    """The events are those of one run: no step or validation twice, none missing at the end."""
    lines = read_events(path)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    done = [line["step"] for line in lines if line["event"] == "step"]
    assert done == sorted(set(done))
    assert done[-1] <= steps
    validated = [line["step"] for line in lines if line["event"] == "validated"]
    assert validated == sorted(set(validated))
    assert validated[-1] == steps
    assert [line["event"] for line in lines].count("finished") == 1
