"""The options that every `elman train` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.settings import read_settings
from elman.errors import ConfigError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """A run and its settings."""

    out: Annotated[
        Path | None, Parameter(help="The run directory; runs/TASK-NAME if not named.")
    ] = None
    config: Annotated[
        Path | None, Parameter(help="A YAML file of settings, such as a run's config.yaml.")
    ] = None
    cell: Annotated[str | None, Parameter(help="The recurrent cell; see `elman cells`.")] = None
    hidden: Annotated[int | None, Parameter(help="Units of a layer.")] = None
    depth: Annotated[int | None, Parameter(help="Recurrent layers.")] = None
    epochs: Annotated[int | None, Parameter(help="At most so many passes.")] = None
    minutes: Annotated[
        float | None, Parameter(help="A budget of training time that the schedule knows about.")
    ] = None
    seed: Annotated[int | None, Parameter(help="The seed of everything random.")] = None
    device: Annotated[str | None, Parameter(help="auto, cpu, cuda ...")] = None
    devices: Annotated[int | None, Parameter(help="How many of them, one process each.")] = None
    resume: Annotated[bool, Parameter(help="Continue the run in --out.")] = False
    name: Annotated[str | None, Parameter(help="The run's name; the file's name if not.")] = None
    json: Annotated[bool, Parameter(help="Print the result as JSON.")] = False

    def settings(self, overrides: Mapping[str, str] | None, **named: Any) -> dict[str, Any]:
        """The file's settings, `--section.key VALUE` on top, then what `named` sets.

        Raises:
            RunError: the file cannot be used. ConfigError: a value cannot be read.
        """
        given = {key.replace("__", "."): value for key, value in named.items()}
        read = read_settings(self.config, overrides or {})
        return read | {key: value for key, value in given.items() if value is not None}

    def named(self) -> dict[str, Any]:
        """The settings that everybody changes, by their short names."""
        names = ("cell", "hidden", "depth", "epochs", "minutes", "seed", "device", "devices")
        return {name: getattr(self, name) for name in names}

    def folder(self, kind: str, data: str) -> Path:
        """The run's folder, `runs/KIND-NAME` unless it is named.

        Raises:
            ConfigError: a run is to be continued that is not named.
        """
        if self.resume and self.out is None:
            raise ConfigError("--resume needs the run to continue.", hint="Name it with --out.")
        return self.out or elman.tasks.free_name(Path("runs") / f"{kind}-{self.name or stem(data)}")


NONE = TrainOptions()
"""Nothing asked for."""


def stem(data: str) -> str:
    """What a run on a file is called."""
    if data == "-":
        return "stdin"
    path = Path(data)
    stem = path.name.split(".", 1)[0] or "data"
    # Sets often come as NAME/train.csv: the folder says more than the file.
    return path.absolute().parent.name if stem in ("train", "training", "data") else stem
