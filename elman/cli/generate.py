"""`elman generate` and `elman score`: a language model writes, and says how likely a text is."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import elman
from elman.cli.output import show, show_json
from elman.data.corpus import Corpus
from elman.decoding import Sampling
from elman.errors import ConfigError, DataError

_LONGEST = 1_000_000  # characters of a line that is scored token by token


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How the next token is drawn."""

    temperature: Annotated[float, Parameter(help="0 takes the best.", show_default=True)] = 1.0
    top_k: Annotated[int, Parameter(help="Draw among the k best; 0: all.")] = 0
    top_p: Annotated[float, Parameter(help="Draw among the best of this probability.")] = 1.0
    min_p: Annotated[float, Parameter(help="Draw from this share of the best's on.")] = 0.0
    repetition_penalty: Annotated[float, Parameter(help="Above 1: less repetition.")] = 1.0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a text must and must not be."""

    stop: Annotated[tuple[str, ...], Parameter(help="A string that ends the text.")] = ()
    forbid: Annotated[tuple[str, ...], Parameter(help="A string that must not occur.")] = ()
    require: Annotated[tuple[str, ...], Parameter(help="A string that the text holds.")] = ()
    matching: Annotated[str | None, Parameter(help="A regular expression for the text.")] = None
    acrostic: Annotated[
        str | None,
        Parameter(help="The first characters of all lines, in Chinese of all verses."),
    ] = None

    def named(self) -> dict[str, Any]:
        """The arguments of `LanguageModel.generate`."""
        from elman.decoding import Forbidden, Matching, acrostic

        rules: list[Any] = []
        if self.forbid:
            rules.append(Forbidden(self.forbid))
        if self.matching is not None:
            rules.append(Matching(self.matching))
        if self.acrostic is not None:
            rules.append(acrostic(self.acrostic))
        return {"constraints": rules, "stops": self.stop, "required": self.require}


PLAIN, FREE = Drawing(), Rules()


def generate(
    run: Annotated[Path, Parameter(help="The run directory.")],
    /,
    *,
    prompt: Annotated[str, Parameter(help="What the text goes on from.")] = "",
    length: Annotated[int, Parameter(help="Tokens at most.", show_default=True)] = 500,
    samples: Annotated[int, Parameter(help="How many texts.", show_default=True)] = 1,
    drawing: Drawing = PLAIN,
    beam: Annotated[int | None, Parameter(help="Search with so many beams; no drawing.")] = None,
    length_penalty: Annotated[float, Parameter(help="Of a beam: above 0 for longer texts.")] = 0.0,
    rules: Rules = FREE,
    seed: Annotated[int, Parameter(help="The seed of the draws.", show_default=True)] = 1,
    stream: Annotated[bool, Parameter(help="Show each token when it is made.")] = False,
    chat: Annotated[bool, Parameter(help="Talk with the model, a line a turn.")] = False,
    weights: Annotated[str | None, Parameter(help="float32, bfloat16 or int8.")] = None,
    scores: Annotated[bool, Parameter(help="Show each token's log-probability.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object a sample.")] = False,
) -> None:
    """Write text with a language model, token by token, in constant memory."""
    task = _language_model(run)
    if samples < 1:
        raise ConfigError(f"got {samples}, wanted 1 sample or more.", where="--samples")
    sampling = asdict(drawing)
    _check(beam=beam, chat=chat, ruled=rules != FREE, spoken=bool(prompt or weights))
    if length_penalty and beam is None:
        raise ConfigError("only a beam has a length penalty.", where="--length-penalty",
                          hint="Name it: --beam 5, or leave --length-penalty out.")  # fmt: skip
    if stream and json:
        raise ConfigError("--json prints a text when it is whole.", where="--stream",
                          hint="Leave out --stream or --json.")  # fmt: skip
    if chat:
        _refuse("--chat", "answers turn by turn", samples=samples != 1, scores=scores, json=json)
        _chat(task.chat(length=length, seed=seed, **sampling))
        return
    if beam is not None:
        drawn = {name: value != getattr(Sampling, name) for name, value in sampling.items()}
        _refuse("--beam", "searches and draws nothing", **drawn, samples=samples != 1,
                seed=seed != 1, stream=stream, scores=scores, weights=weights)  # fmt: skip
        for text, score in task.beam(prompt, width=beam, length=length, penalty=length_penalty):
            if json:
                show_json({"text": text, "log_probability": score}, indent=None)
            else:
                show(f"{score:.3f}\t{text}")
        return
    for number in range(samples):
        tokens = task.generate(
            prompt, length=length, stream=True, seed=seed + number, weights=weights,
            **sampling, **rules.named(),
        )  # fmt: skip
        _write(tokens, prompt, stream, scores, json)


def _check(*, beam: int | None, chat: bool, ruled: bool, spoken: bool) -> None:
    """Refuses what a beam or a chat cannot do."""
    if (beam is not None or chat) and ruled:
        raise ConfigError(
            "--beam and --chat write without constraints.",
            hint="Leave out --stop, --forbid, --require, --matching and --acrostic.",
        )
    if chat and (spoken or beam is not None):
        raise ConfigError("--chat takes no --prompt, --weights or --beam.", where="--chat")


def _refuse(option: str, does: str, **given: object) -> None:
    """Refuses options that would change nothing beside `option`."""
    names = ", ".join("--" + name.replace("_", "-") for name, value in given.items() if value)
    if names:
        raise ConfigError(f"{option} {does}, got {names} too.", hint=f"Leave out {names}.")


def _chat(dialogue: Any) -> None:
    """Reads turns from standard input until it ends, and answers each."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        for token in dialogue.reply(line):
            sys.stdout.write(token.text)
            sys.stdout.flush()
        sys.stdout.write("\n")


def _write(tokens: Any, prompt: str, stream: bool, scores: bool, json: bool) -> None:
    if scores and not json:
        for token in tokens:
            show(f"{token.log_probability:.4f}\t{token.text!r}")
        return
    if stream:
        sys.stdout.write(prompt)
        for token in tokens:
            sys.stdout.write(token.text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    made = list(tokens)
    text = "".join(token.text for token in made)
    if json:
        parts = [{"text": t.text, "log_probability": t.log_probability} for t in made]
        show_json({"prompt": prompt, "text": text, "tokens": parts}, indent=None)
    else:
        show(prompt + text)


def score(
    run: Annotated[Path, Parameter(help="The run directory.")],
    data: Annotated[str, Parameter(help="Text, line by line; - for standard input.")],
    /,
    *,
    text: Annotated[str | None, Parameter(help="The column of the text, of rows.")] = None,
    tokens: Annotated[bool, Parameter(help="Show every token's log-probability.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object a line.")] = False,
) -> None:
    """How likely a language model finds each line of a text, each from a fresh start."""
    task = _language_model(run)
    for passage in Corpus(data, text, documents="line"):
        line = passage.text.rstrip("\n")
        if len(line) > _LONGEST:
            raise DataError(
                f"got a line of {len(line):,} characters, wanted at most {_LONGEST:,}.",
                where=passage.where,
                hint="Measure a long text as a whole with `elman evaluate`.",
            )
        found = task.score(line)
        total = sum(token.log_probability for token in found)
        if json:
            parts = [{"text": t.text, "log_probability": t.log_probability} for t in found]
            show_json({"text": line, "log_probability": total, "tokens": parts}, indent=None)
            continue
        show(f"{total:.3f}\t{total / max(1, len(found)):.4f}\t{line}")
        if tokens:
            show("    " + " ".join(f"{t.text!r}:{t.log_probability:.2f}" for t in found))


def _language_model(run: Path) -> Any:
    task = elman.load(run)
    if not isinstance(task, elman.LanguageModel):
        raise ConfigError(
            "the run is a classifier's, wanted a language model's.",
            where=str(run),
            hint="Train one with `elman train lm`; a classifier answers to `elman predict`.",
        )
    return task
