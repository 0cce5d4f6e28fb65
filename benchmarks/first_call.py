"""What the first call of a layer costs: compiling, loading what was compiled, and denormals.

    python benchmarks/first_call.py [--cells lstm gru mgu]

Every figure is that of a process of its own. "compiled" begins with an empty cache, "loaded" with
what that left behind; both are the first forward and backward call less a later one, and "cache" is
what of "loaded" reading the compiled code takes. Calls on numbers below the normal ones stand
beside the same on normal numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from statistics import median
from typing import Any

import torch
from record import append, table

import elman.nn
from elman.cells import find
from elman.kernels.cpu import cache

SHAPES = ((4, 20), (64, 256))  # rows, steps: what is compiled does not depend on them
HIDDEN = 256
HEAD = ["cell", "rows x steps", "compiled s", "loaded ms", "cache ms", "a call ms", "denormal ms"]


def main() -> None:
    """Measures every cell at every shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "mgu"])
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        name, batch, steps = asked.inside
        print(json.dumps(measure(name, int(batch), int(steps))))
        return
    rows: list[list[str]] = []
    for name in asked.cells:
        for batch, steps in SHAPES:
            with tempfile.TemporaryDirectory() as folder:
                first, second = (_inside(name, batch, steps, folder) for _ in range(2))
            found = {
                "compiled_s": first["first"] - first["later"],
                "loaded_ms": 1000 * (second["first"] - second["later"]),
                "cache_ms": 1000 * second["cache"],
                "call_ms": 1000 * second["later"],
                "denormal_ms": 1000 * second["denormal"],
            }
            append(
                "cpu", {"part": "first call", "name": f"{name} {batch}x{steps}x{HIDDEN}", **found}
            )
            rows.append([name, f"{batch} x {steps}", *(f"{value:.3g}" for value in found.values())])
            print(*rows[-1], flush=True)
    print(table(HEAD, rows))


def measure(name: str, batch: int, steps: int) -> dict[str, float]:
    """Seconds of the first call, of a later one, and of a later one on denormal numbers."""
    layer = elman.nn.Recurrent(find(name), HIDDEN, HIDDEN, backend="cpu")
    x = torch.randn(steps, batch, HIDDEN, requires_grad=True)

    def call(scale: float) -> float:
        given = x * scale
        start = time.perf_counter()
        y, _ = layer(given)
        y.backward(torch.ones_like(y) * scale)
        return time.perf_counter() - start

    # The team of threads, torch's first backward call and loading LLVM are not this layer's.
    import_module("elman.kernels.cpu.recurrence")
    warm = x[:, :1] @ torch.ones(HIDDEN, HIDDEN)
    warm.backward(torch.ones_like(warm))
    reading = [0.0]
    load = cache.load

    def timed(*arguments: Any) -> cache.Library:
        start = time.perf_counter()
        found = load(*arguments)
        reading[0] += time.perf_counter() - start
        return found

    cache.load = timed
    first = call(1.0)
    return {
        "first": first,
        "cache": reading[0],
        "later": median(call(1.0) for _ in range(7)),
        "denormal": median(call(1e-40) for _ in range(7)),
    }


def _inside(name: str, batch: int, steps: int, folder: str) -> dict[str, float]:
    words = [sys.executable, __file__, "--inside", name, str(batch), str(steps)]
    surroundings = os.environ | {"ELMAN_CACHE_DIR": folder}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=surroundings)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
