"""Recurrent layers on the processor beside torch's own and beside loops: ratios, side by side.

    python benchmarks/cpu.py [padded ragged custom] [--threads 2] [--seconds 3] [--malloc fair]

Calls are interleaved and repeated until each has run for a while; a figure is a median, a ratio
above 1 says that elman is faster. Ragged lengths are uniform in [T/8, T]; torch gets them as a
PackedSequence. `--malloc fair` starts anew with glibc told to keep freed memory: otherwise both
sides pay for fresh pages in every call.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from record import append, table
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import elman.nn
from elman import cells

SHAPES = [(64, 256, 128), (64, 256, 256), (64, 128, 512), (16, 512, 1024), (1, 256, 256)]
KINDS = ("LSTM", "GRU", "RNN")
FAIR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
FAIR |= {"MALLOC_TOP_PAD_": "268435456"}

Calls = dict[str, Callable[[], object]]


def main() -> None:
    """Measures the parts asked for; each prints a table and appends its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=3.0, help="a call, at the least")
    parser.add_argument("--malloc", choices=["fair", "default"], default="default")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    asked = parser.parse_args()
    if asked.malloc == "fair" and os.environ.get("MALLOC_MMAP_MAX_") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FAIR)
    torch.set_num_threads(asked.threads)
    for part in asked.parts:
        rows: list[list[object]] = []
        ratios: dict[str, list[float]] = {}
        for name, facts, calls in PARTS[part]():
            if asked.only not in name:
                continue
            times = interleaved(calls, asked.seconds)
            append(
                "cpu",
                {"part": part, "name": name, "threads": asked.threads, "malloc": asked.malloc}
                | {"milliseconds": times, **facts},
            )
            for row in rows_of(name, times, ratios):
                rows.append(row)
                print(*row, flush=True)
        print(f"\n{part}, {asked.threads} threads, {asked.malloc} malloc\n")
        print(table(["case", "peer", "peer ms", "elman ms", "ratio"], rows))
        for name, found in ratios.items():
            mean = math.exp(sum(map(math.log, found)) / len(found))
            print(f"{name}: geometric mean {mean:.2f}, least {min(found):.2f}")


def rows_of(
    name: str, times: dict[str, float], ratios: dict[str, list[float]]
) -> Iterator[list[object]]:
    """A row for each peer of each of elman's calls (`elman f` beside `torch f`)."""
    for ours, milliseconds in times.items():
        if not ours.startswith("elman"):
            continue
        way = ours.removeprefix("elman").strip()
        for peer, theirs in times.items():
            if not peer.startswith("elman") and peer.endswith(way):
                ratio = theirs / milliseconds
                ratios.setdefault(f"{name.split()[0]} {peer}", []).append(ratio)
                yield [
                    f"{name} {way}",
                    peer,
                    f"{theirs:.3f}",
                    f"{milliseconds:.3f}",
                    f"{ratio:.2f}",
                ]


def interleaved(calls: Calls, seconds: float) -> dict[str, float]:
    """Median milliseconds of each call; they take turns in blocks of a twentieth of a second."""
    counts: dict[str, int] = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(0.05 / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    while spent < seconds * len(calls) or min(map(len, times.values())) < 5:
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            took = time.perf_counter() - start
            spent += took
            times[name].append(1000 * took / counts[name])
    return {name: median(values) for name, values in times.items()}


def _both(name: str, call: Callable[[], Tensor], gradient: Tensor | None = None) -> Calls:
    """The call forwards without gradients, and forwards and backwards."""

    def forward() -> None:
        with torch.inference_mode():
            call()

    def both() -> None:
        result = call()
        result.backward(torch.ones_like(result) if gradient is None else gradient)

    return {f"{name} f": forward, f"{name} f+b": both}


def padded() -> Iterator[tuple[str, dict[str, Any], Calls]]:
    """torch's layers, batches without padding."""
    for kind in KINDS:
        for batch, steps, hidden in SHAPES:
            theirs, ours = _pair(kind, hidden)
            x = torch.randn(steps, batch, hidden, requires_grad=True)
            weight = torch.randn(steps, batch, hidden)
            calls = _both("torch", lambda m=theirs, x=x: m(x)[0], weight)
            calls |= _both("elman", lambda m=ours, x=x: m(x)[0], weight)
            yield f"{kind} {batch}x{steps}x{hidden}", {}, calls


def ragged() -> Iterator[tuple[str, dict[str, Any], Calls]]:
    """torch's layers on a PackedSequence."""
    for kind in KINDS:
        for batch, steps, hidden in SHAPES[:4]:
            theirs, ours = _pair(kind, hidden)
            lengths = torch.randint(steps // 8, steps + 1, (batch,))
            lengths[0] = steps
            lengths = lengths.sort(descending=True).values
            x = torch.randn(steps, batch, hidden)
            packed = pack_padded_sequence(x, lengths)
            data = packed.data.requires_grad_()
            given = PackedSequence(data, packed.batch_sizes)
            calls = _both("torch", lambda m=theirs, p=given: m(p)[0].data)
            calls |= _both("elman", lambda m=ours, p=given: m(p)[0].data)
            yield f"{kind} {batch}x{steps}x{hidden}", {"lengths": lengths.tolist()}, calls


def _pair(kind: str, hidden: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(hidden, hidden)
    ours = getattr(elman.nn, kind)(hidden, hidden)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def custom() -> Iterator[tuple[str, dict[str, Any], Calls]]:
    """Cells of one's own beside the reference: a Python loop with its products joined."""
    large = ["GRUResetBefore", "PeepholeLSTM", "MGU", "LayerNormLSTM", "LEM"]
    for name, (batch, steps, hidden) in [
        *((name, (64, 256, 256)) for name in large),
        *((name, (16, 4096, 256)) for name in ("minGRU", "RGLRU")),
    ]:
        cell = getattr(cells, name)
        torch.manual_seed(1)
        layers = {
            "loop": elman.nn.Recurrent(cell, hidden, hidden, backend="reference"),
            "elman": elman.nn.Recurrent(cell, hidden, hidden),
        }
        layers["elman"].load_state_dict(layers["loop"].state_dict())
        x = torch.randn(steps, batch, hidden, requires_grad=True)
        calls: Calls = {}
        for which, layer in layers.items():
            calls |= _both(which, lambda m=layer, x=x: m(x)[0])
        yield f"{name} {batch}x{steps}x{hidden}", {}, calls


PARTS: dict[str, Callable[[], Iterator[tuple[str, dict[str, Any], Calls]]]] = {
    "padded": padded,
    "ragged": ragged,
    "custom": custom,
}

if __name__ == "__main__":
    main()
