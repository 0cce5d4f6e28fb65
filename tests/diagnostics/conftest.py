"""Builds run directories that look like real ones, without training anything."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.metrics import (
    classification_report,
    compare_marks_with_floor,
    compare_with_floor,
    fit_temperature,
    label_marks,
    length_facts,
    marks_metrics,
)

TEXTS = (
    "This was supposed to be a comedy? I laughed once, at the end.<br />Bring a pillow & a book.",
    "没有送水，打电话也不接，等了两个小时，汤都洒了一半。味道倒是还可以，下次不会再点了。",
    "Ein ganz wunderbarer Film – ich hätte nie gedacht, dass er so lange nachwirkt.",
    "<script>alert('x')</script> \"quoted\" & <b>bold</b> | pipes | and `ticks`",
    "فيلم رائع جدا، أنصح الجميع بمشاهدته",
    "word " * 300,
    "",
)


def build_run(
    folder: Path,
    *,
    classes: int = 2,
    rows: int = 2000,
    labels: list[str] | None = None,
    several: bool = False,
    floor: bool = True,
    split: str = "test",
    skill: float = 1.8,
    floor_skill: float = 1.65,
    seed: int = 7,
) -> dict[str, Any]:
    """Writes the four files that a report is made from; returns the content of result.json."""
    folder.mkdir(parents=True, exist_ok=True)
    names = labels or (["neg", "pos"] if classes == 2 else _names(classes))
    draw = np.random.default_rng(seed)
    data = _several if several else _single
    evaluation, floor_metrics, comparison = data(draw, names, rows, skill, floor_skill, split)
    result: dict[str, Any] = {
        "format": 1,
        "elman": "0.1.0",
        "task": "classify",
        "name": folder.name,
        "created": "2026-11-21T10:44:03+00:00",
        "seconds": 861.4,
        "command": "elman train classify reviews.csv.xz --text text --label label --minutes 15 "
        f"--out {folder.name}",
        "data": _data(draw, names, rows, split),
        "model": {
            "parameters": 4_213_506,
            "cell": "lstm",
            "plan": "backend builtin (torch's oneDNN LSTM), matmul\nflops 1.2 G/batch",
            "summary": "embedding 30000 x 128\nlstm 128 x 2\nmax+mean pool\nlinear",
            "vocabulary": 30_000,
        },
        "evaluation": evaluation,
    }
    if floor:
        result["floor"] = _floor(floor_metrics)
        result["comparison"] = comparison
    _write(folder, result)
    return result


def _names(classes: int) -> list[str]:
    stems = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    return [f"{stems[k % 6]}:kind{k // 6}" if classes > 6 else stems[k] for k in range(classes)]


def _softmax(scores: Any) -> Any:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _single(
    draw: Any, names: list[str], rows: int, skill: float, floor_skill: float, split: str
) -> tuple[Any, Any, Any]:
    classes = len(names)
    share = 1 / np.arange(1, classes + 1) ** (0.0 if classes == 2 else 0.7)
    codes = draw.choice(classes, rows, p=share / share.sum())
    noise = draw.normal(size=(rows, classes))
    kin = np.roll(np.eye(classes), 1, axis=1)[codes] * (0.8 * skill if classes > 2 else 0)
    hit = np.eye(classes)[codes]
    reach = math.log(classes + 1)
    model = _softmax(1.9 * (skill * reach * hit + kin + noise))
    base = _softmax(
        1.2
        * (floor_skill * reach * hit + kin * floor_skill / skill + draw.normal(size=noise.shape))
    )
    truth = [names[k] for k in codes]
    texts = [TEXTS[k % len(TEXTS)] for k in range(rows)]
    temperature = fit_temperature(truth, model, names)
    report = classification_report(
        truth, model, names, split=split, temperature=temperature, texts=texts
    )
    floor_report = classification_report(truth, base, names, split=split)
    guesses = [[names[k] for k in one.argmax(axis=1)] for one in (model, base)]
    return report, floor_report["metrics"], compare_with_floor(truth, *guesses)


def _several(
    draw: Any, names: list[str], rows: int, skill: float, floor_skill: float, split: str
) -> tuple[Any, Any, Any]:
    marks = draw.random((rows, len(names))) < 0.3
    scores = [
        1 / (1 + np.exp(-(s * (2 * marks - 1) + draw.normal(size=marks.shape))))
        for s in (skill, floor_skill)
    ]
    truth = [[names[k] for k in np.flatnonzero(row)] for row in marks]
    report = classification_report(truth, scores[0], names, split=split, several=True)
    found = label_marks(truth, names)
    comparison = compare_marks_with_floor(found, *(one > 0.5 for one in scores))
    return report, marks_metrics(found, scores[1]), comparison


def _data(draw: Any, names: list[str], rows: int, split: str) -> dict[str, Any]:
    lengths = np.maximum(3, draw.lognormal(5.1, 0.7, 9 * rows).astype(int))
    whole = 9 * rows

    def part(path: str, count: int) -> dict[str, Any]:
        each = count // len(names)
        return {
            "path": path,
            "rows": count,
            "fingerprint": "ad653df3ca5ef0a0" * 4,
            "format": "csv",
            "encoding": "utf-8",
            "delimiter": ",",
            "compression": "xz",
            "text": "text",
            "label": "label",
            "classes": {name: each + 7 * k for k, name in enumerate(reversed(names))},
        }

    train = part("reviews.csv.xz", whole)
    train |= {"tokens": length_facts(lengths), "unknown_share": 0.021}
    valid = {"split_of": "train", "fraction": 0.1, "rows": rows}
    test = part("reviews-test.csv.xz", rows) if split == "test" else None
    return {"train": train, "valid": valid, "test": test}


def _floor(metrics: Any) -> dict[str, Any]:
    name = "logistic regression on naive-Bayes-weighted tf-idf word 1-2-grams"
    tried = [
        {"name": "most frequent class", "score": 0.5},
        {"name": name, "score": 0.906, "C": 30.0},
        {"name": "linear SVM on naive-Bayes-weighted binary word 1-2-grams", "score": 0.901,
         "C": 0.1, "beta": 0.5},
    ]  # fmt: skip
    settings = {"candidates": tried, "chosen": tried[1], "features": 417_899}
    settings |= {"train_rows": 22_500, "train_rows_used": 22_500, "valid_rows_used": 2_500}
    return {"name": name, "settings": settings, "seconds": 48.2, "metrics": metrics}


def _write(folder: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    (folder / "result.json").write_text(text, encoding="utf-8")
    (folder / "metrics.jsonl").write_text("\n".join(_events()) + '\n{"event": "st', "utf-8")
    (folder / "config.yaml").write_text(
        "task: classify\nmodel:\n  hidden: 128 # <units>\n", "utf-8"
    )
    environment = {"elman": "0.1.0", "python": "3.11.9", "cores": 2, "gpu": None}
    environment |= {"processor": "a <fast> one", "packages": {"torch": "2.13.0", "numpy": "2.4.6"}}
    (folder / "environment.json").write_text(json.dumps(environment), "utf-8")


def _events() -> list[str]:
    draw = np.random.default_rng(0)
    steps, epochs = 1400, 4
    lines: list[dict[str, Any]] = [{"event": "started", "epochs": epochs, "steps": steps}]
    for step in range(10, steps + 1, 10):
        done = step / steps
        loss = 0.69 * math.exp(-2.6 * done) + 0.09 + 0.05 * draw.normal()
        rate = 2e-3 * (
            done / 0.1 if done < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.1) / 0.9)
        )
        lines.append({"event": "step", "epoch": 1, "step": step, "loss": loss, "lr": rate})
        if step % (steps // epochs) == 0:
            measured = {
                "accuracy": 0.93 - 0.13 * math.exp(-3 * done) - 0.01 * (done == 1),
                "loss": 0.2,
            }
            lines.append({"event": "validated", "epoch": 1, "step": step, "metrics": measured})
    lines.append({"event": "finished", "seconds": 861.4, "best_epoch": 3, "stopped": "epochs"})
    return [json.dumps(line) for line in lines]


@pytest.fixture(name="build_run")
def build_run_fixture() -> Callable[..., dict[str, Any]]:
    """The builder, for tests: `build_run(folder, classes=6, ...)`."""
    return build_run
