"""Random shapes, cells, types, threads and forks for as long as wanted: nothing may break or leak.

    python benchmarks/soak.py --minutes 30

Each round runs a random cell on machine code and on the reference in float64 and compares, on one,
two or three threads; now and then in a forked child in the first half of the time, and from
several Python threads at once in the second. (A child that is forked after Python threads have
multiplied may wait for ever in MKL, with torch alone too.) Prints a line a minute, and ends with
exit code 1 at the first difference, crash, or child that takes longer than a minute.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from record import append

from elman.cells import catalogue
from elman.diagnostics.cell_check import TRIALS, Trial, check_cell

CELLS = [cell for name, cell in catalogue().items() if name != "ClockworkRNN"]
SHAPES = (1, 3, 8, 16, 24, 40)


def main() -> int:
    """Runs until the time is up; the memory of the process in the beginning and in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    random.seed(asked.seed)
    start = last = time.monotonic()
    memory: list[tuple[float, float]] = []
    rounds = 0
    while (spent := time.monotonic() - start) < 60 * asked.minutes:
        if not _round(forks=spent < 30 * asked.minutes):
            return 1
        rounds += 1
        if time.monotonic() - last > 60 or not memory:
            last = time.monotonic()
            memory.append((spent / 60, _megabytes()))
            print(f"{spent / 60:.0f} min, {rounds} rounds, {memory[-1][1]:.0f} MB", flush=True)
    half = memory[len(memory) // 2 :]
    grown = half[-1][1] / half[0][1] - 1
    print(f"{rounds} rounds; memory in the second half {100 * grown:+.1f} %")
    append("soak", {"minutes": asked.minutes, "rounds": rounds, "memory_mb": memory,
                    "grown": grown})  # fmt: skip
    return int(grown > 0.05)


def _round(*, forks: bool) -> bool:
    torch.set_num_threads(random.choice([1, 2, 2, 3]))
    if random.random() < 0.1:
        if forks:
            return _forked()
        found: list[bool] = []
        callers = [threading.Thread(target=lambda: found.append(_compare())) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return len(found) == 3 and all(found)
    return _compare()


def _forked() -> bool:
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if _compare() else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        print(f"a forked child ended with {code}", file=sys.stderr, flush=True)
    return code == 0


def _compare() -> bool:
    cell = random.choice(CELLS)
    trial = random.choice([*TRIALS, _random_trial()])
    dtype = random.choice([torch.float32, torch.float64])
    size, seed = random.choice(SHAPES), random.randrange(3)
    found = check_cell(
        cell, sizes=(size,), backends=["cpu"], dtypes=[dtype], trials=[trial], seed=seed
    )
    if not found.good:
        again = f"{cell.name}, sizes=({size},), dtypes=[{dtype}], trials=[{trial}], seed={seed}"
        print(found, f"again: check_cell({again})", sep="\n", file=sys.stderr, flush=True)
    return found.good


def _random_trial() -> Trial:
    rows = random.randint(1, 40)
    lengths = sorted((random.randint(0, 12) for _ in range(rows)), reverse=True)
    lengths[0] = max(1, lengths[0])
    return Trial(
        "random", tuple(lengths), reverse=random.random() < 0.5, resets=random.random() < 0.5
    )


def _megabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


if __name__ == "__main__":
    sys.exit(main())
