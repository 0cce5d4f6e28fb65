"""Starting is quick: what `import elman` and `elman --help` must not import."""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import elman

HEAVY = {
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "polars",
    "pydantic",
    "matplotlib",
    "tokenizers",
    "lightning_fabric",
    "safetensors",
    "yaml",
    "faker",
    "tensorboard",
}
_LIST = "import json, sys; json.dump(sorted(sys.modules), sys.stdout)"


def _modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_LIST}"], capture_output=True, text=True, check=True
    )
    names = json.loads(done.stdout[done.stdout.rindex("[") :])
    return {name.split(".")[0] for name in names}


def test_every_room_is_an_attribute() -> None:
    names = {item.name for item in pkgutil.iter_modules(elman.__path__)} - {"__main__", "cli"}
    code = "\n".join(["import elman", *(f"assert elman.{name}" for name in sorted(names))])
    assert "elman.decoding" in code
    subprocess.run([sys.executable, "-c", code], check=True)
    assert names <= set(dir(elman))


@pytest.mark.parametrize(
    "code",
    [
        "import elman",
        "import elman; dir(elman)",
        "import elman.compiler, elman.cells",
        "from elman.cli.app import main; main(['--help'])",
        "from elman.cli.app import main; main(['train', 'classify', '--help'])",
        "from elman.cli.app import main; main(['train', 'clasify'])",
        "from elman.cli.app import main; main(['predict'])",
        "from elman.cli.app import main; main(['cells'])",
        "from elman.cli.app import main; main(['data', 'list'])",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    assert not _modules(code) & HEAVY


def test_help_takes_less_than_300_ms() -> None:
    program = Path(sys.executable).with_name("elman")
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([program, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Processor time instead of the clock: other tests may run beside this one.
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert statistics.median(times) < 0.3


def test_importing_opens_no_connection() -> None:
    code = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): raise SystemExit(3)\n"
        "sys.addaudithook(refuse)\n"
        "import elman, elman.nn, elman.data, elman.training, elman.cells, elman.metrics\n"
        "import elman.tasks, elman.diagnostics\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_can_be_had() -> None:
    for name in elman.__all__:
        assert getattr(elman, name) is not None
        assert name in dir(elman)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = elman.nonsense  # pyright: ignore


def test_python_dash_m_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "elman", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.stdout.strip() == elman.__version__
