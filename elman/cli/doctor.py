"""`elman doctor`: versions, threads, and every kernel compared with the reference in float64."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from typing import Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.output import number, show, show_json, table
from elman.errors import ConfigError

_PACKAGES = (
    "torch",
    "numpy",
    "llvmlite",
    "safetensors",
    "pydantic",
    "cyclopts",
    "tokenizers",
    "polars",
    "scikit-learn",
    "lightning-fabric",
    "matplotlib",
)
_EXTRAS = ("faker", "tensorboard", "zstandard")
_CELLS = ("LSTM", "GRU", "Elman")
# float32 sums in another order differ by a few units in the last place of the largest term.
_TOLERANCE = 1e-4


def doctor(*, json: Annotated[bool, Parameter(help="Print everything as JSON.")] = False) -> int:
    """Show versions and threads, and compare every kernel with float64.

    The exit code is 1 when a kernel is off or a package is missing.
    """
    import torch

    facts = {
        "elman": elman.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "ELMAN_DATA": os.environ.get("ELMAN_DATA"),
        **_machine_code(),
    }
    versions = {name: _version(name) for name in (*_PACKAGES, *_EXTRAS)}
    checks = [check for name in _CELLS for check in _compare(name)]
    good = all(check["difference"] <= _TOLERANCE for check in checks)
    missing = [name for name in _PACKAGES if versions[name] is None]
    if json:
        show_json({**facts, "packages": versions, "kernels": checks, "good": good})
        return int(not good)
    show(table([[name, str(value)] for name, value in facts.items() if value is not None]))
    show()
    show(table([[name, version or "not installed"] for name, version in versions.items()]))
    show()
    rows = [
        [
            check["cell"],
            check["backend"],
            f"{check['difference']:.1e}",
            number(check["milliseconds"], 2),
            "good" if check["difference"] <= _TOLERANCE else "WRONG",
        ]
        for check in checks
    ]
    show(table(rows, head=["cell", "backend", "off by", "ms", ""]))
    if missing:
        show(f"Missing: {', '.join(missing)}. Install elman again.")
    return int(not good or bool(missing))


def _machine_code() -> dict[str, Any]:
    """The processor that kernels are made for, and those kept on disk."""
    from elman.kernels.cpu import cache, target

    host, kept = target.host(), cache.entries()
    return {
        "kernels made for": f"{host.name}, vectors of {host.bits} bits",
        "kernels kept": f"{kept.count} in {kept.folder}, {kept.bytes / 1e6:.1f} MB",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _compare(name: str) -> list[dict[str, Any]]:
    """A ragged batch through each backend that takes the cell, against float64 op by op."""
    import torch

    torch.manual_seed(0)
    cell = elman.cells.find(name)
    x = torch.randn(12, 4, 6)
    lengths = torch.tensor([12, 7, 1, 9])
    layer = elman.nn.Recurrent(cell, 6, 8)
    exact = elman.nn.Recurrent(cell, 6, 8, backend="reference", dtype=torch.float64)
    exact.load_state_dict({key: value.double() for key, value in layer.state_dict().items()})
    with torch.no_grad():
        wanted, _ = exact(x.double(), lengths=lengths)
    found: list[dict[str, Any]] = []
    for backend in elman.kernels.BACKENDS:
        try:
            chosen = elman.nn.Recurrent(cell, 6, 8, backend=backend.name)
            chosen.load_state_dict(layer.state_dict())
            with torch.no_grad():
                chosen(x, lengths=lengths)  # the first call compiles and allocates
                start = time.perf_counter()
                got, _ = chosen(x, lengths=lengths)
                seconds = time.perf_counter() - start
        except ConfigError:
            # This backend does not take this cell; `plan` says why.
            continue
        found.append(
            {
                "cell": name,
                "backend": backend.name,
                "difference": float((got.double() - wanted).abs().max()),
                "milliseconds": seconds * 1e3,
            }
        )
    return found
