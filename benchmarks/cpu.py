"""Recurrent layers on the processor beside torch's own and beside loops: ratios, side by side.

    python benchmarks/cpu.py [PART ...] [--threads 2] [--malloc fair]

Calls are interleaved and repeated until each has run for a while; a figure is a median, a ratio
above 1 says that elman is faster. Ragged lengths are uniform in [T/8, T]; torch gets them as a
PackedSequence. `--malloc fair` starts anew with glibc told to keep freed memory: otherwise both
sides pay for fresh pages in every call.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch
from record import append, table

from elman.diagnostics import speed
from elman.diagnostics.speed import Calls, Ratio

SHAPES = [(64, 256, 128), (64, 256, 256), (64, 128, 512), (16, 512, 1024), (1, 256, 256)]
SHARED = ("padded", "custom")
FAIR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
FAIR |= {"MALLOC_TOP_PAD_": "268435456"}

Cases = Iterator[tuple[str, Callable[[], Calls]]]


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
    facts = {"threads": asked.threads, "malloc": asked.malloc}
    for part in asked.parts:
        groups: dict[str, list[Ratio]] = {}
        for name, make in PARTS[part]():
            if asked.only in name:
                times = speed.interleaved(make(), asked.seconds)
                append("cpu", {"part": part, "name": name, **facts, "milliseconds": times})
                for item in speed.ratios(name, times):
                    way = item.case.removeprefix(name).strip()
                    groups.setdefault(f"{name.split()[0]} {way} / {item.peer}", []).append(item)
                    print(*row(item), flush=True)
        print(f"\n{part}, {asked.threads} threads, {asked.malloc} malloc\n")
        rows = [row(item) for group in groups.values() for item in group]
        print(table(["case", "peer", "peer ms", "elman ms", "ratio"], rows))
        for name, group in groups.items():
            least = min(item.ratio for item in group)
            print(f"{name}: geometric mean {speed.geometric_mean(group):.2f}, least {least:.2f}")
        if part in SHARED:
            shares(groups, asked.seconds, facts)


def row(item: Ratio) -> list[str]:
    """A line of the table."""
    return [item.case, item.peer, f"{item.theirs:.3f}", f"{item.ours:.3f}", f"{item.ratio:.2f}"]


def shares(groups: dict[str, list[Ratio]], seconds: float, facts: dict[str, object]) -> None:
    """What share of the machine's measured peak each layer reached, and the most it could gain.

    The bound is the ratio that a layer would have whose matrix products ran at the peak, all else
    being free.
    """
    peaks = speed.peak(seconds)
    best = max(peaks.values())
    print(f"\npeak: {', '.join(f'{name} {v:.0f} GFlop/s' for name, v in peaks.items())}")
    for group in groups.values():
        for item in group:
            reached = speed.gflops_of(item)
            if reached is None:
                continue
            bound = item.ratio * best / reached
            print(f"{item.case} / {item.peer}: {reached:.0f} GFlop/s, {reached / best:.2f} of the "
                  f"peak; ratio {item.ratio:.2f}, bound {bound:.2f}")  # fmt: skip
            append("cpu", {"part": "peak", "name": item.case, "peer": item.peer, **facts,
                           "peak": peaks, "gflops": reached, "share": reached / best,
                           "bound": bound})  # fmt: skip


def padded() -> Cases:
    """torch's layers, batches without padding."""
    for kind in speed.KINDS:
        for shape in SHAPES:
            name = f"{kind} {'x'.join(map(str, shape))}"
            yield name, lambda kind=kind, shape=shape: speed.padded(kind, *shape)


def ragged() -> Cases:
    """torch's layers on a PackedSequence."""
    for kind in speed.KINDS:
        for shape in SHAPES[:4]:
            name = f"{kind} {'x'.join(map(str, shape))}"
            yield name, lambda kind=kind, shape=shape: speed.ragged(kind, *shape)


def bfloat16() -> Cases:
    """Layers under autocast beside torch's under the same, and beside torch's in float32."""
    for kind in speed.KINDS:
        for shape in SHAPES[:4]:
            name = f"{kind} {'x'.join(map(str, shape))}"
            yield name, lambda kind=kind, shape=shape: _low(kind, *shape)


def _low(kind: str, batch: int, steps: int, hidden: int) -> Calls:
    theirs, ours = speed.pair(kind, hidden)
    x = torch.randn(steps, batch, hidden, requires_grad=True)

    def low(layer: torch.nn.Module) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return layer(x)[0]

    return {
        **speed.both_ways("torch", lambda: theirs(x)[0]),
        **speed.both_ways("torch autocast", lambda: low(theirs)),
        **speed.both_ways("elman", lambda: low(ours)),
    }


def custom() -> Cases:
    """Cells of one's own beside loops, and beside the parallel scan where there is one."""
    for name in speed.OWN:
        yield f"{name} 64x256x256", partial(speed.beside_loops, name, (64, 256, 256))
    for name in ("minGRU", "RGLRU"):
        peers = [name, f"{name} scan"]
        yield (
            f"{name} 16x4096x256",
            partial(speed.beside_loops, name, (16, 4096, 256), peers),
        )


def compiled() -> Cases:
    """The same beside torch.compile of the loops, which takes a long while for each length."""
    for name in speed.OWN:
        yield (
            f"{name} 64x64x256",
            partial(speed.beside_loops, name, (64, 64, 256), compiled=True),
        )


def step() -> Cases:
    """One step of one row."""
    for kind in ("LSTM", "GRU"):
        for hidden in (256, 512):
            for depth in (1, 2):
                yield (
                    f"{kind} {hidden}x{depth}",
                    lambda kind=kind, h=hidden, d=depth: speed.one_step(kind, h, d),
                )


PARTS: dict[str, Callable[[], Cases]] = {
    "padded": padded,
    "ragged": ragged,
    "bfloat16": bfloat16,
    "custom": custom,
    "compiled": compiled,
    "step": step,
}

if __name__ == "__main__":
    main()
