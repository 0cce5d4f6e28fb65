"""Recurrent layers beside torch's own: the same weights, the same batch, padded and ragged.

    python benchmarks/layers.py [--threads 2] [--runs 5]

Both layers run in turn, forward and forward + backward, medians; a ratio above 1 says that elman
is faster. Ragged lengths are uniform in [T/8, T]; torch gets them as a PackedSequence.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from record import append, table
from torch.nn.utils.rnn import pack_padded_sequence

import elman.nn

SHAPES = [(64, 256, 128), (16, 300, 64), (1, 256, 256)]
KINDS = ("LSTM", "GRU", "RNN")


def main() -> None:
    """Measures every kind and shape and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows: list[list[object]] = []
    for kind in KINDS:
        for shape in SHAPES:
            for ragged in (False, True):
                if ragged and shape[0] == 1:
                    continue
                one = measure(kind, shape, ragged, asked.runs)
                append("layers", {"threads": asked.threads, **one})
                rows.append([kind, "x".join(map(str, shape)), "ragged" if ragged else "padded"])
                rows[-1] += [f"{one[key]:.1f}" for key in ("torch_f", "elman_f")]
                rows[-1] += [f"{one['torch_f'] / one['elman_f']:.2f}"]
                rows[-1] += [f"{one[key]:.1f}" for key in ("torch_fb", "elman_fb")]
                rows[-1] += [f"{one['torch_fb'] / one['elman_fb']:.2f}"]
    head = ["layer", "B x T x H", "batch", "torch f ms", "elman f ms", "ratio"]
    print(table([*head, "torch f+b ms", "elman f+b ms", "ratio"], rows))


def measure(kind: str, shape: tuple[int, int, int], ragged: bool, runs: int) -> dict[str, Any]:
    """Median milliseconds of both layers, in turn."""
    batch, steps, hidden = shape
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(hidden, hidden)
    ours = getattr(elman.nn, kind)(hidden, hidden)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(steps, batch, hidden)
    lengths = torch.randint(steps // 8, steps + 1, (batch,)) if ragged else None

    def torch_call() -> torch.Tensor:
        if lengths is None:
            return theirs(x)[0]
        return theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))[0].data

    def elman_call() -> torch.Tensor:
        return ours(x)[0] if lengths is None else ours(x, lengths=lengths)[0]

    calls: dict[str, Callable[[], object]] = {}
    for name, call in (("torch", torch_call), ("elman", elman_call)):
        calls[f"{name}_f"] = _without_gradient(call)
        calls[f"{name}_fb"] = lambda call=call: call().sum().backward()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    figures = {name: median(values[1:]) for name, values in times.items()}
    return {"layer": kind, "shape": shape, "ragged": ragged, **figures}


def _without_gradient(call: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    def run() -> torch.Tensor:
        with torch.no_grad():
            return call()

    return run


if __name__ == "__main__":
    main()
