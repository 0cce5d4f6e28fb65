"""Text classification: the default recipe on real sets, test accuracy beside the floor's.

    python benchmarks/classification.py trec snips --seeds 1 2 3 --minutes 5

Runs the command line as a user would, once a seed, reads the official test part once, and prints
a table of accuracies, time and peak memory. The sets are read from the folder `ELMAN_DATA`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from record import append, table

SETS: dict[str, dict[str, str]] = {
    "imdb": {"train": "imdb/train.csv.xz", "test": "imdb/test.csv.xz", "text": "text"}
    | {"label": "label"},
    "waimai": {"train": "waimai_10k/train.csv.gz", "valid": "waimai_10k/valid.csv.gz"}
    | {"test": "waimai_10k/test.csv.gz", "text": "review", "label": "label"},
    "trec": {"train": "trec/train.tsv", "test": "trec/test.tsv", "text": "text", "label": "label"},
    "trec50": {"train": "trec/train.tsv", "test": "trec/test.tsv", "text": "text"}
    | {"label": "fine_label"},
    "snips": {"train": "snips/train.conll", "valid": "snips/valid.conll"}
    | {"test": "snips/test.conll", "text": "text", "label": "intent"},
}


def main() -> None:
    """Trains and measures every set with every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    asked, more = parser.parse_known_args()
    rows: list[list[object]] = []
    for name in asked.sets:
        found = [measure(name, seed, asked.minutes, asked.runs, more) for seed in asked.seeds]
        for one in found:
            append("classification", one)
        for one in found:
            rows.append([name, one["seed"], *(_percent(one[key]) for key in FIGURES), *_cost(one)])
            print(table(HEAD, rows[-1:]), flush=True)
        if len(found) > 1:
            means = [_percent(fmean(one[key] for one in found)) for key in FIGURES]
            rows.append([name, "mean", *means, "", ""])
    print(table(HEAD, rows))


FIGURES = ("accuracy", "network_alone", "floor", "macro_f1")
HEAD = ["set", "seed", "model %", "network alone %", "floor %", "macro F1 %", "minutes", "GB"]


def measure(name: str, seed: int, minutes: float, runs: Path, more: list[str]) -> dict[str, Any]:
    """One training and one reading of the test part, each as its own process."""
    where = SETS[name]
    data = Path(os.environ.get("ELMAN_DATA", "."))
    run = runs / f"{name}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    train = ["train", "classify", str(data / where["train"]), "--out", str(run)]
    train += ["--text", where["text"], "--label", where["label"]]
    train += ["--minutes", str(minutes), "--seed", str(seed), *more]
    if "valid" in where:
        train += ["--valid", str(data / where["valid"])]
    start = time.monotonic()
    elman(*train)
    seconds = time.monotonic() - start
    output = elman(
        "evaluate", str(run), str(data / where["test"]), "--json"
    )  # the test part is read here and nowhere else
    found = json.loads(output)
    report, floor = found["evaluation"], found["floor"]
    return {
        "set": name,
        "seed": seed,
        "train_command": "elman " + " ".join(train),
        "accuracy": report["metrics"]["accuracy"],
        "macro_f1": report["metrics"]["macro_f1"],
        "network_alone": report["network_alone"],
        "floor": floor["metrics"]["accuracy"],
        "floor_name": floor["name"],
        "sentence": found["comparison"]["sentence"],
        "seconds": seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2,
    }


def elman(*words: str) -> str:
    """What the command line prints on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "elman", *words], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"elman {' '.join(words)} ended with exit code {done.returncode}")
    return done.stdout


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _cost(one: dict[str, Any]) -> tuple[str, str]:
    return f"{one['seconds'] / 60:.1f}", f"{one['peak_gb']:.2f}"


if __name__ == "__main__":
    main()
