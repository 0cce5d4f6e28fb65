"""How fast this machine runs elman's layers beside those of others: ratios, side by side.

Calls take turns in blocks of a twentieth of a second, so that whatever else the machine does hits
all of them alike; a figure is the median of the blocks. Before each block there is a pause, and a
call that is not timed: the caches and the spinning threads of another library are not its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import elman
import elman.nn
from elman import files
from elman.cells import find
from elman.compiler import flops
from elman.diagnostics.drawing import FIRST, INK, SECOND, Draw, png
from elman.diagnostics.speed_loops import Loop
from elman.diagnostics.speed_peers import jax_layer, onnx_layer
from elman.kernels.cpu.target import host

Calls = dict[str, Callable[[], object]]

_CELLS = {"GRU": "GRUResetAfter", "RNN": "Elman"}
_BLOCK = 0.05  # seconds
_PAUSE = 0.02  # for the threads of the call before, which wait by spinning
KINDS = ("LSTM", "GRU", "RNN")
_SHAPES = ((64, 256, 128), (64, 256, 256))
_UNITS = (256, 512)
OWN = ("GRUResetBefore", "PeepholeLSTM", "MGU", "LayerNormLSTM", "LEM")


@dataclass(frozen=True)
class Ratio:
    """One comparison.

    Attributes:
        case: the layer, its sizes, and what was done: "f" forwards, "f+b" and backwards, "step".
        peer: whom elman stands beside.
        theirs, ours: median milliseconds of a call.
    """

    case: str
    peer: str
    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        """Above 1 elman is faster."""
        return self.theirs / self.ours

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def interleaved(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each call, after `seconds` of each or five blocks, what is longer."""
    counts: dict[str, int] = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(1, int(_BLOCK / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    while spent < seconds * len(calls) or min(map(len, times.values())) < 5:
        for name, call in calls.items():
            time.sleep(_PAUSE)
            if counts[name] > 1:
                call()
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            took = time.perf_counter() - start
            spent += took
            times[name].append(1000 * took / counts[name])
    return {name: median(values) for name, values in times.items()}


def ratios(case: str, times: Mapping[str, float]) -> Iterator[Ratio]:
    """One for each peer of each of elman's calls: `elman f` or `elman int8 f` beside `torch f`."""
    for name, ours in times.items():
        if not name.startswith("elman"):
            continue
        *variant, way = name.split()[1:]
        for peer, theirs in times.items():
            if not peer.startswith("elman") and peer.split()[-1] == way:
                label = " ".join([case, *variant, way])
                yield Ratio(label, peer.removesuffix(way).strip(), theirs, ours)


def geometric_mean(found: Sequence[Ratio]) -> float:
    """Of the ratios."""
    return math.exp(sum(math.log(item.ratio) for item in found) / len(found))


def both_ways(name: str, call: Callable[[], Tensor], owed: Tensor | None = None) -> Calls:
    """The call forwards without gradients, and forwards and backwards from `owed` (ones)."""

    def forward() -> None:
        with torch.inference_mode():
            call()

    def both() -> None:
        result = call()
        result.backward(torch.ones_like(result) if owed is None else owed)

    return {f"{name} f": forward, f"{name} f+b": both}


def pair(kind: str, hidden: int) -> tuple[nn.Module, nn.Module]:
    """torch's layer and elman's, with the same weights."""
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(hidden, hidden)
    ours = getattr(elman.nn, kind)(hidden, hidden)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def padded(kind: str, batch: int, steps: int, hidden: int) -> Calls:
    """A batch without padding: torch's layer, and onnxruntime's where it is installed."""
    theirs, ours = pair(kind, hidden)
    x = torch.randn(steps, batch, hidden, requires_grad=True)
    owed = torch.randn(steps, batch, hidden)
    calls = both_ways("torch", lambda: theirs(x)[0], owed)
    if kind != "RNN":
        run = onnx_layer(theirs, x.detach())
        calls |= {"onnxruntime f": run} if run is not None else {}
    calls |= jax_layer(theirs, x, owed)
    return calls | both_ways("elman", lambda: ours(x)[0], owed)


def ragged(kind: str, batch: int, steps: int, hidden: int) -> Calls:
    """Lengths uniform in [T/8, T]; torch gets them sorted and packed."""
    theirs, ours = pair(kind, hidden)
    lengths = torch.randint(steps // 8, steps + 1, (batch,))
    lengths[0] = steps
    packed = pack_padded_sequence(
        torch.randn(steps, batch, hidden), lengths.sort(descending=True).values
    )
    given = PackedSequence(packed.data.requires_grad_(), packed.batch_sizes)
    calls = both_ways("torch", lambda: theirs(given)[0].data)
    return calls | both_ways("elman", lambda: ours(given)[0].data)


def one_step(kind: str, hidden: int, depth: int = 1) -> Calls:
    """One step of one row with the state carried, as a stream is read."""
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(hidden, hidden, depth)
    ours = getattr(elman.nn, kind)(hidden, hidden, depth)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, hidden)
    calls: Calls = {"torch step": _carried(theirs, x), "torch cell step": _cells(theirs, x, depth)}
    run = onnx_layer(theirs, x[None]) if kind != "RNN" and depth == 1 else None
    if run is not None:
        calls["onnxruntime step"] = run
    for weights in ("float32", "bfloat16", "int8"):
        stream = ours.stream(weights=weights)
        name = "elman step" if weights == "float32" else f"elman {weights} step"
        calls[name] = lambda stream=stream: stream.step(x)
    return calls


def beside_loops(
    name: str, shape: tuple[int, int, int], peers: Sequence[str] = (), *, compiled: bool = False
) -> Calls:
    """A cell of the catalogue, as any of one's own, beside loops in torch over its equations.

    Args:
        name: of the cell.
        shape: rows, steps, units.
        peers: loops of `speed_loops.LOOPS`; the cell's own unless named.
        compiled: put the loops through `torch.compile`, which takes a minute.
    """
    batch, steps, hidden = shape
    torch.manual_seed(1)
    x = torch.randn(steps, batch, hidden, requires_grad=True)
    calls: Calls = {}
    for peer in peers or (name,):
        loop = Loop(peer, hidden)
        label = "parallel scan" if peer.endswith("scan") else "loop"
        calls |= both_ways(label, lambda run=loop: run(x))
        if compiled:
            made: Any = torch.compile(loop, dynamic=False)
            calls |= both_ways("torch.compile", lambda run=made: run(x))
    layer = elman.nn.Recurrent(find(name), hidden, hidden)
    return calls | both_ways("elman", lambda: layer(x)[0])


def standard_cases(*, compiled: bool = False) -> dict[str, Callable[[], Calls]]:
    """What `elman bench` measures; `compiled` beside compiled loops too."""
    cases: dict[str, Callable[[], Calls]] = {}
    for name, make in (("padded", padded), ("ragged", ragged)):
        for kind in KINDS:
            for shape in _SHAPES:
                sizes = "x".join(map(str, shape))
                cases[f"{kind} {name} {sizes}"] = partial(make, kind, *shape)
    for name in OWN:
        shape = (64, 64, 256)
        make = partial(beside_loops, name, shape, compiled=compiled)
        cases[f"{name} {'x'.join(map(str, shape))}"] = make
    for kind in ("LSTM", "GRU"):
        for hidden in _UNITS:
            cases[f"{kind} one step, {hidden} units,"] = partial(one_step, kind, hidden)
    return cases


def _carried(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    state: list[Any] = [None]

    def step() -> None:
        with torch.inference_mode():
            _, state[0] = layer(x[None], state[0])

    return step


def _cells(layer: Any, x: Tensor, depth: int) -> Callable[[], object]:
    kind = getattr(nn, f"{type(layer).__name__}Cell")
    cells = [kind(layer.input_size, layer.hidden_size) for _ in range(depth)]
    states: list[Any] = [None] * depth

    def step() -> None:
        with torch.inference_mode():
            value = x
            for k, cell in enumerate(cells):
                states[k] = cell(value, states[k])
                value = states[k][0] if isinstance(states[k], tuple) else states[k]

    return step


def peak(seconds: float = 1.0, size: int = 2048) -> dict[str, float]:
    """GFlop/s of a square product in float32: torch's own, and the tile kernel's."""
    from elman.kernels.cpu.outer import outer

    x = torch.randn(size, size)
    times = interleaved({"torch.mm": lambda: x @ x, "tiles": lambda: outer(x, x)}, seconds)
    return {name: 2 * size**3 / 1e6 / took for name, took in times.items()}


def work_of(cell: str, shape: tuple[int, int, int], way: str) -> float:
    """Mflop of matrix products in a layer's call, with as many inputs as units.

    Args:
        cell: its name in the catalogue.
        shape: rows, steps, units.
        way: "f" forwards; "f+b" and backwards, which counts as two forwards.
    """
    batch, steps, hidden = shape
    step = find(cell).step()
    sizes = step.resolve(input_size=hidden, hidden_size=hidden)
    once = flops(step, sizes, products=True)
    return once * batch * steps * (3 if way == "f+b" else 1) / 1e6


def gflops_of(item: Ratio) -> float | None:
    """What elman's matrix products reach, in GFlop/s; None where a case has no sizes to go by.

    A case ends with rows x steps x units and the way, as `LSTM padded 64x256x128 f+b`.
    """
    kind, *rest, way = item.case.split()
    sizes = rest[-1].split("x") if rest else []
    if len(sizes) != 3 or "ragged" in rest:
        return None
    batch, steps, hidden = map(int, sizes)
    return work_of(_CELLS.get(kind, kind), (batch, steps, hidden), way) / item.ours


def document(found: Sequence[Ratio], peaks: Mapping[str, float]) -> dict[str, Any]:
    """The figures with what they were measured on."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "elman": elman.__version__,
        "processor": host().name,
        "peak": dict(peaks),
        "ratios": [{**item.as_dict(), "gflops": gflops_of(item)} for item in found],
    }


def save(result: Mapping[str, Any], found: Sequence[Ratio], folder: Path) -> None:
    """Writes bench.json and bench.png.

    Raises:
        ElmanError: a file cannot be written.
    """
    files.write_json(folder / "bench.json", dict(result))
    files.write_bytes(folder / "bench.png", png([_draw(found)], (7.2, 1.2 + 0.24 * len(found))))


def _draw(found: Sequence[Ratio]) -> Draw:
    def draw(axes: Any) -> None:
        names = [f"{item.case} / {item.peer}" for item in found][::-1]
        values = [item.ratio for item in found][::-1]
        axes.barh(names, values, color=[FIRST if v >= 1 else SECOND for v in values])
        axes.axvline(1.0, color=INK, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel("times as fast")
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:.1f}", va="center", fontsize=7, color=INK)
        axes.tick_params(axis="y", labelsize=7)

    return draw
