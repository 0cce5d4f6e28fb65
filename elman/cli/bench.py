"""`elman bench`: this machine's layers beside those of torch and of whoever else is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.output import number, say, show, show_json, table


def bench(
    *,
    threads: Annotated[int | None, Parameter(help="Threads; if left out, torch's.")] = None,
    seconds: Annotated[float, Parameter(help="For each call, at least.", show_default=True)] = 1.0,
    compiled: Annotated[
        bool, Parameter(help="Put the loops through torch.compile too: a minute each.")
    ] = False,
    out: Annotated[Path | None, Parameter(help="A folder for bench.json and bench.png.")] = None,
    json: Annotated[bool, Parameter(help="Print the figures as JSON.")] = False,
) -> None:
    """Measure layers on this machine: ratios to torch.nn and to loops in torch.

    onnxruntime and JAX stand beside them where they are installed. A ratio above 1 says that elman
    is faster; the share is what its matrix products reach of the peak that was measured here. Let
    nothing else run meanwhile.
    """
    import torch

    from elman.diagnostics import speed

    if threads is not None:
        torch.set_num_threads(threads)
    cases = speed.standard_cases(compiled=compiled)
    peaks = speed.peak(seconds)
    found: list[speed.Ratio] = []
    for place, (name, make) in enumerate(cases.items()):
        say(f"{place + 1} of {len(cases)}: {name}")
        found += speed.ratios(name, speed.interleaved(make(), seconds))
    result = speed.document(found, peaks)
    if out is not None:
        speed.save(result, found, out)
    if json:
        show_json(result)
        return
    best = max(peaks.values())
    rows: list[list[str]] = []
    for item in found:
        reached = speed.gflops_of(item)
        share = "" if reached is None else number(reached / best, 2)
        times = [number(item.theirs, 3), number(item.ours, 3), number(item.ratio, 2)]
        rows.append([item.case, item.peer, *times, share])
    show(table(rows, head=["case", "beside", "their ms", "our ms", "ratio", "share of the peak"]))
    show()
    show(f"{torch.get_num_threads()} threads, measured peak {best:.0f} GFlop/s.")
    if out is not None:
        show(f"The figures and a picture are in {out}.")
