"""The verbs, and what happens around each of them: exit codes, errors, signals.

Exit codes: 0 done; 1 the user's mistake or a failure, one sentence; 2 a wrong call; 130 stopped
with Ctrl-C; 141 the reader of the output went away. Each verb is imported only when it is called,
so that `elman --help` needs neither torch nor pydantic.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from importlib import import_module
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from elman import __version__
from elman.cli.output import say
from elman.errors import ElmanError, did_you_mean
from elman.files import explain

_HELP = """Recurrent networks: from a data file to a trained, measured and explained model.

Results go to standard output, progress and messages to standard error.
Every verb takes --json; --traceback shows where an error came from.
"""

_GROUPS = {
    "train": "Train a model from a data file and measure it.",
    "check": "Look for trouble in a data set before training.",
    "data": "Public data sets: list them, find them, fetch them.",
}
_COMMANDS = {
    ("train", "classify"): ("train:classify", "Texts into classes."),
    ("train", "lm"): ("train_lm:lm", "Running text: a language model that writes."),
    ("evaluate",): ("evaluate:evaluate", "Measure a run on labelled data."),
    ("predict",): ("predict:predict", "Predict with a run."),
    ("generate",): ("generate:generate", "Write text with a language model."),
    ("score",): ("generate:score", "How likely a language model finds each line."),
    ("report",): ("report:report", "Write a run's report and model card."),
    ("check", "classify"): ("check:classify", "Texts and their classes."),
    ("cells",): ("cells:cells", "List the cells, or show one."),
    ("doctor",): ("doctor:doctor", "Versions, threads and a check of the kernels."),
    ("bench",): ("bench:bench", "Measure the layers on this machine."),
    ("data", "list"): ("data:list_sets", "The known sets, and which are here."),
    ("data", "path"): ("data:path", "Where a set lies."),
    ("data", "fetch"): ("data:fetch", "Download a set from its publisher."),
    ("demo",): ("demo:demo", "Train a small classifier on data that comes along."),
}
_STDIN = "\0-"  # no word of a command can hold a null character
_INTERNAL = (
    "This is a mistake of elman's own. Run the command again with --traceback to see where it "
    "happened, and please report it."
)


def run() -> NoReturn:
    """The entry point of the `elman` command."""
    sys.exit(main())


def main(tokens: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code; `tokens` are `sys.argv[1:]` when left out."""
    words, show_traceback = _without_flag(sys.argv[1:] if tokens is None else tokens)
    show_traceback = show_traceback or os.environ.get("ELMAN_TRACEBACK", "") not in ("", "0")
    if not show_traceback and not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        code = _call(words)
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
        if show_traceback and not isinstance(error, (CycloptsError, BrokenPipeError)):
            traceback.print_exc()
        return _explained(error, words)


def command_paths() -> list[tuple[str, ...]]:
    """The words of every command, such as `("train", "classify")`."""
    return list(_COMMANDS)


def _call(words: list[str]) -> int:
    words, overrides = _overrides(words)
    _check_names(words)
    # The parser takes a lone "-" for an option.
    hidden = [_STDIN if word == "-" else word for word in words]
    parser = _parser(words)
    command, bound, ignored = parser.parse_args(hidden, exit_on_error=False, print_error=False)
    for name, value in bound.arguments.items():
        bound.arguments[name] = _with_dash(value)
    if "overrides" in ignored:
        bound.arguments["overrides"] = overrides
    if overrides:
        _check_overrides(words[0] if words else "", overrides, "overrides" in ignored)
    result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


def _with_dash(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_with_dash(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: _with_dash(item) for name, item in vars(value).items()})
    return "-" if value == _STDIN else value


def _parser(words: Sequence[str]) -> App:
    """The parser of every verb; only the module of the verb that is called is imported."""
    app = App(
        name="elman",
        help=_HELP,
        usage="Usage: elman VERB ...",
        version=__version__,
        help_formatter="plain",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
    )
    places: dict[tuple[str, ...], App] = {(): app}
    for name, help_text in _GROUPS.items():
        places[(name,)] = App(name=name, help=help_text)
        app.command(places[(name,)])
    for path, (target, help_text) in _COMMANDS.items():
        command: Any = f"elman.cli.{target}"
        if tuple(words[: len(path)]) == path:
            module, function = command.split(":")
            command = getattr(import_module(module), function)
            help_text = _unwrapped(command.__doc__ or help_text)
        # A name instead of a function: it is imported when it is called, and never here.
        places[path[:-1]].command(command, name=path[-1], help=help_text)
    return app


def _unwrapped(text: str) -> str:
    """The docstring with each paragraph on one line, for a terminal of any width."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


class _UsageError(Exception):
    """A wrong call that the parser does not see."""


def _check_names(words: Sequence[str]) -> None:
    """Refuses an unknown verb or task; the parser would import every verb to offer the closest.

    Raises:
        _UsageError: no such verb or task, or a task is wanted and none is named.
    """
    if not words or words[0].startswith("-"):
        return
    verbs = list(dict.fromkeys(path[0] for path in _COMMANDS))
    if words[0] not in verbs:
        raise _UsageError(f'There is no verb "{words[0]}". {did_you_mean(words[0], verbs)}')
    seconds = [path[1] for path in _COMMANDS if path[0] == words[0] and len(path) > 1]
    if not seconds or words[1:2] in (["--help"], ["-h"]):
        return
    if len(words) == 1:
        raise _UsageError(f"`elman {words[0]}` needs one of: {', '.join(seconds)}.")
    if words[1] not in seconds:
        raise _UsageError(
            f'There is no "{words[1]}" after `elman {words[0]}`. {did_you_mean(words[1], seconds)}'
        )


def _overrides(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--section.key VALUE` and `--section.key=VALUE` out of the words."""
    rest: list[str] = []
    found: dict[str, str] = {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return [*rest, word, *words[position:]], found
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not _dotted(name):
            rest.append(word)
            continue
        if not equals:
            if position == len(words) or words[position].startswith("--"):
                raise _UsageError(f'Option "--{name}" needs a value.')
            value = words[position]
            position += 1
        found[name] = value
    return rest, found


def _check_overrides(verb: str, overrides: Mapping[str, str], taken: bool) -> None:
    """Refuses dotted settings that a verb has no use for.

    Raises:
        _UsageError: there is one.
    """
    if verb == "train":
        return
    wrong = next((name for name in overrides if not taken or not name.startswith("data.")), None)
    if wrong is not None:
        others = f"; `{verb}` takes --data.* alone" if taken else ""
        raise _UsageError(
            f'Unknown option "--{wrong}": only `train` takes dotted settings{others}.'
        )


def _dotted(name: str) -> bool:
    parts = name.replace("-", "_").split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def _without_flag(words: Sequence[str]) -> tuple[list[str], bool]:
    end = words.index("--") if "--" in words else len(words)
    head = [word for word in words[:end] if word != "--traceback"]
    return [*head, *words[end:]], len(head) < end


def _explained(error: BaseException, words: Sequence[str]) -> int:
    """Says in a sentence what went wrong and gives the exit code."""
    if isinstance(error, BrokenPipeError):
        _silence(sys.stdout)
        return 141
    if isinstance(error, (CycloptsError, _UsageError)):
        say(f"elman: error: {str(error).strip()}\nSee `{_verb(words)} --help`.")
        return 2
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        say(f"\nelman: {str(error) or _stopped(words)}")
        return 130
    if isinstance(error, ElmanError):
        message = str(error)
    elif isinstance(error, OSError):
        # Writing to standard output fails without a file name; everything else names its file.
        if error.filename is None:
            _silence(sys.stdout)
        message = str(explain(error, error.filename or "standard output", _doing(error)))
    elif isinstance(error, MemoryError):
        message = "the memory is used up. Use a smaller model or batch, or close other programs."
    else:
        told = str(error).strip().split("\n", 1)[0]
        message = f"{type(error).__name__}: {told}. {_INTERNAL}"
    say(f"elman: error: {' '.join(message.split())}")
    return 1


def _doing(error: OSError) -> str:
    return "read" if isinstance(error, (FileNotFoundError, IsADirectoryError)) else "write"


def _stopped(words: Sequence[str]) -> str:
    if "train" in words[:1]:
        return "stopped. Continue with the same command, --out of this run and --resume."
    return "stopped."


def _verb(words: Sequence[str]) -> str:
    """The part of the command that names an existing verb, for the pointer to its help."""
    for count in (2, 1):
        path = tuple(words[:count])
        if path in _COMMANDS or (count == 1 and path and path[0] in _GROUPS):
            return " ".join(("elman", *path))
    return "elman"


def _silence(stream: Any) -> None:
    # The interpreter flushes the streams once more at its end and would complain aloud.
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
    except (OSError, ValueError, AttributeError):
        return
