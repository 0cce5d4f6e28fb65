"""Language models: the default recipe on real texts, nats and perplexity beside the n-grams'.

    python benchmarks/language.py shakespeare --seeds 1 2
    python benchmarks/language.py ptb tang awd-lstm

Runs the command line as a user would, once a seed, measures the held-out text with the state
carried through all of it, and once more while the model goes on learning (`--dynamic`). The last
tenth of tiny Shakespeare is what training holds out and chooses by; PTB has a test file; of the
Tang poems the last tenth is a test part that training never sees. `awd-lstm` is one pass of that
preset over PTB: how many tokens a second it trains, and its loss after them; it does not learn on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from classification import elman
from record import append, table

SETS: dict[str, dict[str, Any]] = {
    "shakespeare": {
        "train": ["tinyshakespeare/input.txt.gz", "--level", "char", "--minutes", "15"],
        "measure": ["tinyshakespeare/input.txt.gz", "--last", "0.1"],
    },
    "ptb": {
        "train": "ptb/ptb.train.txt.gz --valid ptb/ptb.valid.txt.gz --minutes 30".split(),
        "measure": ["ptb/ptb.test.txt.gz"],
    },
    "tang": {
        "train": "tang_poems/tang_12k.jsonl.xz --level char --test 0.1 --minutes 15".split(),
        "measure": None,  # the test part of the run itself
    },
    "awd-lstm": {
        "train": [
            *"ptb/ptb.train.txt.gz --valid ptb/ptb.valid.txt.gz --test ptb/ptb.test.txt.gz".split(),
            *"--preset awd-lstm --epochs 1".split(),
        ],
        "measure": None,
    },
}
HEAD = [
    "set", "seed", "nats a character", "perplexity", "dynamic nats", "n-grams nats", "tokens/s",
    "minutes",
]  # fmt: skip


def main() -> None:
    """Trains and measures every set with every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    asked, more = parser.parse_known_args()
    rows: list[list[object]] = []
    for name in asked.sets:
        found = [measure(name, seed, asked.runs, more) for seed in asked.seeds]
        rows += [_row(name, one["seed"], one) for one in found]
        if len(found) > 1:
            means = {key: _mean([one[key] for one in found]) for key in FIGURES}
            rows.append(_row(name, "mean", means))
    print(table(HEAD, rows))


FIGURES = ("nats_per_character", "perplexity", "dynamic", "floor", "rate", "seconds")


def measure(name: str, seed: int, runs: Path, more: list[str]) -> dict[str, Any]:
    """One training and one reading of the held-out text, each as its own process."""
    where = SETS[name]
    run = runs / f"{name}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    train = ["train", "lm", *_placed(where["train"]), "--out", str(run)]
    train += ["--seed", str(seed), *more]
    start = time.monotonic()
    elman(*train)
    seconds = time.monotonic() - start
    dynamic: dict[str, float] = {}
    if where["measure"] is None:
        document = json.loads((run / "result.json").read_text(encoding="utf-8"))
        metrics, floor = document["evaluation"]["metrics"], document["floor"]
    else:
        words = ["evaluate", str(run), *_placed(where["measure"]), "--json"]
        document = json.loads(elman(*words))
        metrics, floor = document["metrics"], document["floor"]
        dynamic = json.loads(elman(*words, "--dynamic"))["metrics"]
    one = {
        "set": name,
        "seed": seed,
        "train_command": "elman " + " ".join(train),
        "nats_per_character": metrics["nats_per_character"],
        "perplexity": metrics["perplexity"],
        "dynamic": dynamic.get("nats_per_character"),
        "dynamic_perplexity": dynamic.get("perplexity"),
        "floor": floor["metrics"]["nats_per_character"],
        "floor_perplexity": floor["metrics"]["perplexity"],
        "floor_name": floor["name"],
        "rate": _rate(run),
        "seconds": seconds,
    }
    append("language", one)
    print(table(HEAD, [_row(name, seed, one)]), flush=True)
    return one


def _rate(run: Path) -> float:
    """Tokens a second, of the passes that were finished."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = [one for one in map(json.loads, lines) if one["event"] == "validated"][-1]
    steps = next(one for one in map(json.loads, lines) if one["event"] == "started")
    passes = last["step"] * steps["epochs"] / steps["steps"]
    return passes * result["data"]["train"]["tokens"]["total"] / last["seconds"]


def _mean(found: list[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    return fmean(known) if known else None


def _placed(words: list[str]) -> list[str]:
    """The words with files of the data folder where they lie."""
    data = Path(os.environ.get("ELMAN_DATA", "."))
    return [str(data / word) if "/" in word else word for word in words]


def _row(name: str, seed: object, one: dict[str, Any]) -> list[object]:
    dynamic = "" if one["dynamic"] is None else f"{one['dynamic']:.4f}"
    return [
        name, seed, f"{one['nats_per_character']:.4f}", f"{one['perplexity']:.2f}", dynamic,
        f"{one['floor']:.4f}", f"{one['rate']:.0f}", f"{one['seconds'] / 60:.1f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
