"""Transfer: what a language model of IMDB's reviews, read without labels, is worth to a classifier.

    python benchmarks/transfer.py shots
    python benchmarks/transfer.py full --seeds 1

`shots` trains one language model on the texts of the training part, and then classifiers on 500
labelled reviews, from scratch and with it, three samples of each, in 45 minutes in all. From
scratch means the default recipe with its five networks, as somebody gets it who has 500 labels.
Every classifier is measured on the same 5000 reviews of the test part, drawn once (`--measured 0`
takes all 25 000), and what that took is taken off the minutes that are left.

`full` trains on all 25 000 labels for 60 minutes, the language model's included, and reads the test
part once. IMDB is read from the folder `ELMAN_DATA`. Both run the command line as a user would.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import os
import random
import shutil
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from classification import elman
from record import append, table

TRAIN, TEST = "imdb/train.csv.xz", "imdb/test.csv.xz"
MINUTES = {"shots": 45.0, "full": 60.0}
MEASURING = 2.0  # minutes kept for the last measurement, which no budget of training knows of
SHOTS_HEAD = ["labels", "seed", "scratch %", "transfer %", "gain", "floor %", "minutes in all"]
FULL_HEAD = ["seed", "model %", "network alone %", "floor %", "minutes to train"]


def main() -> None:
    """Trains and measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=sorted(MINUTES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the full set")
    parser.add_argument("--labels", type=int, default=500, help="of the few")
    parser.add_argument("--samples", type=int, default=3, help="of the few labels")
    parser.add_argument("--measured", type=int, default=5000, help="test rows beside few labels")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--train", default=None, help="another file of labelled texts")
    parser.add_argument("--test", default=None, help="and another to measure on")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    asked, more = parser.parse_known_args()
    data = Path(os.environ.get("ELMAN_DATA", "."))
    asked.train, asked.test = asked.train or str(data / TRAIN), asked.test or str(data / TEST)
    asked.minutes = asked.minutes or MINUTES[asked.what]
    if asked.what == "shots":
        shots(asked, more)
        return
    found = [full(seed, asked, more) for seed in asked.seeds]
    print(table(FULL_HEAD, [_full_row(one) for one in found]))


def shots(asked: argparse.Namespace, more: list[str]) -> None:
    """One language model, then every sample from scratch and with it; the mean is what counts."""
    run = asked.runs / f"transfer-shots-{asked.labels}"
    shutil.rmtree(run, ignore_errors=True)
    minutes = max(0.5 * asked.minutes, asked.minutes - MEASURING)
    start = time.monotonic()
    test = drawn(asked.test, asked.measured, asked.runs / "transfer-test.csv")
    words = ["train", "classify", asked.train, "--pretrain", asked.train, "--test", test]
    words += ["--text", "text", "--label", "label", "--out", str(run)]
    words += ["--shots", str(asked.labels), "--shots-seeds", str(asked.samples)]
    words += ["--minutes", str(minutes), *more]
    elman(*words)
    seconds = time.monotonic() - start
    document = json.loads((run / "result.json").read_text(encoding="utf-8"))
    point = document["shots"]["points"][0]
    figures: dict[str, Any] = {
        "set": "imdb" if asked.train.endswith(TRAIN) else asked.train,
        "what": "shots",
        "labels": point["shots"],
        "seeds": document["shots"]["seeds"],
        "train_command": "elman " + " ".join(words),
        **{name: point[name] for name in ("scratch", "transfer", "floor")},
        "gain": fmean(point["transfer"]) - fmean(point["scratch"]),
        "measured_rows": document["shots"]["rows"],
        "budget_minutes": asked.minutes,
        "seconds": seconds,
        "language_model": _language(run),
        "trainings": document["shots"]["trainings"],
    }
    append("transfer", figures)
    rows = [
        [point["shots"], seed, _percent(one), _percent(other), _percent(other - one),
         _percent(floor), ""]
        for seed, one, other, floor in zip(
            figures["seeds"], point["scratch"], point["transfer"], point["floor"], strict=True
        )
    ]  # fmt: skip
    means = [fmean(point[name]) for name in ("scratch", "transfer")]
    rows.append(
        [point["shots"], "mean", *map(_percent, means), _percent(figures["gain"]),
         _percent(fmean(point["floor"])), f"{seconds / 60:.1f}"]
    )  # fmt: skip
    print(table(SHOTS_HEAD, rows))


def drawn(path: str, count: int, place: Path) -> str:
    """A file with so many of the rows, always the same ones; the file itself for 0."""
    if count == 0:
        return path
    packed = lzma.open if path.endswith(".xz") else open
    with packed(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = random.Random(500).sample(rows, min(count, len(rows)))
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([row["text"], row["label"]] for row in chosen)
    return str(place)


def full(seed: int, asked: argparse.Namespace, more: list[str]) -> dict[str, Any]:
    """One training on every label and one reading of the test part, each its own process."""
    run = asked.runs / f"transfer-full-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    words = ["train", "classify", asked.train, "--pretrain", asked.train, "--out", str(run)]
    words += ["--text", "text", "--label", "label"]
    words += ["--minutes", str(asked.minutes), "--seed", str(seed), *more]
    start = time.monotonic()
    elman(*words)
    seconds = time.monotonic() - start
    found = json.loads(elman("evaluate", str(run), asked.test, "--json"))
    report, floor = found["evaluation"], found["floor"]
    one = {
        "set": "imdb" if asked.train.endswith(TRAIN) else asked.train,
        "what": "full",
        "seed": seed,
        "train_command": "elman " + " ".join(words),
        "accuracy": report["metrics"]["accuracy"],
        "macro_f1": report["metrics"]["macro_f1"],
        "network_alone": report["network_alone"],
        "floor": floor["metrics"]["accuracy"],
        "floor_name": floor["name"],
        "sentence": found["comparison"]["sentence"],
        "budget_minutes": asked.minutes,
        "seconds": seconds,
        "language_model": _language(run),
    }
    append("transfer", one)
    print(table(FULL_HEAD, [_full_row(one)]), flush=True)
    return one


def _language(run: Path) -> dict[str, Any]:
    """How the language model did: seconds, passes over its text, perplexity of what is held out."""
    document = json.loads((run / "language" / "result.json").read_text(encoding="utf-8"))
    lines = (run / "language" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [one["epoch"] for one in map(json.loads, lines) if "epoch" in one]
    return {
        "seconds": document["seconds"],
        "tokens": document["data"]["train"]["tokens"]["total"],
        "epoch": max(epochs, default=0),
        "perplexity": document["evaluation"]["metrics"]["perplexity"],
    }


def _full_row(one: dict[str, Any]) -> list[object]:
    shares = [_percent(one[name]) for name in ("accuracy", "network_alone", "floor")]
    return [one["seed"], *shares, f"{one['seconds'] / 60:.1f}"]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


if __name__ == "__main__":
    main()
