"""Trains the tiny task in a process of its own, for tests that kill it.

Usage: training_script.py DIRECTORY JSON

There is no `if __name__ == "__main__":` on purpose: several processes must start without it.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file
from training_tiny import Tiny, weights

from elman.errors import ElmanError
from elman.training import Step, TrainingConfig, fit

directory, options = Path(sys.argv[1]), json.loads(sys.argv[2])
task = Tiny(**options.get("task", {}))


def say(event: object) -> None:
    if isinstance(event, Step):
        print(event.step, flush=True)


try:
    fit(
        task,
        TrainingConfig(**options["training"]),
        directory=directory,
        resume=options.get("resume", False),
        on_event=say,
    )
except ElmanError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
save_file(weights(task), directory / "final.safetensors")
