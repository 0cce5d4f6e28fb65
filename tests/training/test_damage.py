"""Damaged checkpoints, full disks, folders that cannot be written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_crash import EXTRA, check_log
from training_tiny import Tiny, same, weights

from elman import files
from elman.errors import ElmanError, RunError
from elman.training import Event, Note, TrainingConfig, fit


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _version(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "format": 99}))


def _other_json(path: Path) -> None:
    path.write_text("[]")


def _number(path: Path) -> None:
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 1', 1))


DAMAGE = [
    *((name, harm) for name in ("model", "optimiser", "average", "processes")
      for harm in (_truncate, _flip, Path.unlink)),
    *(("state.json", harm)
      for harm in (_truncate, _flip, Path.unlink, _version, _other_json, _number)),
]  # fmt: skip


def _harm(folder: Path, name: str, harm: Any) -> None:
    harm(folder / (name if name.endswith(".json") else f"{name}.safetensors"))


@pytest.mark.parametrize(("name", "harm"), DAMAGE)
def test_damage_falls_back_to_the_checkpoint_before(crashed: Path, name: str, harm: Any) -> None:
    checkpoints = crashed / "checkpoints"
    both = crashed.with_name(f"{crashed.name}-both")
    _harm(checkpoints / "last", name, harm)
    shutil.copytree(crashed, both)
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    events, tiny = list[Event](), Tiny()
    fit(tiny, config, directory=crashed, resume=True, extra_state=EXTRA, on_event=events.append)
    note = next(event.message for event in events if isinstance(event, Note))
    assert "checkpoint before it is used" in note
    assert "last" in note
    whole = Tiny()
    fit(whole, config)
    assert same(weights(whole), weights(tiny))
    check_log(crashed / "metrics.jsonl", 30)
    _harm(both / "checkpoints" / "previous", name, harm)
    with pytest.raises(RunError, match="no checkpoint can be read"):
        fit(Tiny(), config, directory=both, resume=True, extra_state=EXTRA)


def test_killed_while_the_checkpoint_was_renamed(crashed: Path) -> None:
    shutil.rmtree(crashed / "checkpoints" / "last")
    (crashed / "checkpoints" / ".new-123").mkdir()
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    fit(tiny := Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA)
    fit(whole := Tiny(), config)
    assert same(weights(whole), weights(tiny))
    assert not list((crashed / "checkpoints").glob(".new-*"))


def test_damaged_best_weights_are_chosen_anew(crashed: Path) -> None:
    [best] = (crashed / "checkpoints" / "best").glob("*.safetensors")
    _flip(best)
    events = list[Event]()
    history = fit(
        Tiny(), TrainingConfig(epochs=3, checkpoint_seconds=0), directory=crashed, resume=True,
        extra_state=EXTRA, on_event=events.append,
    )  # fmt: skip
    assert any(isinstance(e, Note) and "chosen anew" in e.message for e in events)
    assert history.best is not None
    assert history.best_step > 15


def test_a_log_that_lost_its_end(crashed: Path) -> None:
    log = crashed / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    fit(Tiny(), config, directory=crashed, resume=True, extra_state=EXTRA)
    check_log(log, 30)


def test_a_full_disk_does_not_end_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.training import checkpoints

    config = TrainingConfig(epochs=3, checkpoint_seconds=0)
    written: list[Path] = []

    def write(path: Path, content: bytes) -> dict[str, Any]:
        written.append(path)
        if len(written) > 40:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device", str(path))
        return usual(path, content)

    usual = checkpoints._write
    monkeypatch.setattr(checkpoints, "_write", write)
    events = list[Event]()
    fit(full := Tiny(), config, directory=tmp_path, on_event=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert len(notes) == 1
    assert "the disk is full" in notes[0]
    assert "Training goes on" in notes[0]
    monkeypatch.setattr(checkpoints, "_write", usual)
    history = fit(again := Tiny(), config, directory=tmp_path, resume=True)
    fit(whole := Tiny(), config)
    assert history.resumed is not None
    assert 0 < history.resumed < 30
    assert same(weights(full), weights(whole))
    assert same(weights(again), weights(whole))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_under_the_log(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    events = list[Event]()
    fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path, on_event=events.append)
    notes = [event.message for event in events if isinstance(event, Note)]
    assert any("the disk is full" in note and "Training goes on" in note for note in notes)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ElmanError, match="a part of the path is a file"):
        fit(Tiny(), TrainingConfig(epochs=1), directory=tmp_path / "file" / "run")


def test_no_pickle_is_written(crashed: Path) -> None:
    assert {path.suffix for path in crashed.rglob("*") if path.is_file()} == {
        ".json", ".jsonl", ".safetensors",
    }  # fmt: skip
    assert files.read_json(crashed / "checkpoints" / "last" / "state.json")["format"] == 1
