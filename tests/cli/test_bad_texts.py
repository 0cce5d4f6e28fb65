"""Bad texts, runs, prompts and constraints for language models, one a row.

Each ends with exit code 1 and one clear sentence, and nothing is lost. `run` in the words stands
for a copy of a trained run: a language model's, or a classifier's.
"""

from __future__ import annotations

import gzip
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from films import write_films
from refusals import PROGRAM, Bad, Build, Training, check_refusal

from elman.cli.app import main

TEXT = "the cat sat on the mat.\nthe dog ran to the man.\n" * 30
LM = ("--model.hidden", "8", "--batch.streams", "2", "--batch.tbptt", "16", "--epochs", "1",
      "--level", "char")  # fmt: skip


train = Training("lm", LM)


def _text(*more: object) -> Build:
    return train.on_file("a.txt", TEXT, *more)


def _words(*words: object) -> Build:
    return lambda _: list(words)


def _write(*words: object) -> Build:
    return _words("generate", "run", *words)


def _after(make: Callable[[Path], object], *words: object) -> Build:
    """The words, after `make` has laid something into the folder."""

    def build(folder: Path) -> list[object]:
        make(folder)
        return list(words)

    return build


TEXTS = [
    Bad("empty file", train.on_file("a.txt", ""), ("a.txt", "empty", "give a file")),
    Bad("empty file, by words", train.on_file("a.txt", "", "--level", "word"), ("a.txt", "empty")),
    Bad("blank lines only", train.on_file("a.txt", "\n \n\n"), ("a.txt", "no text")),
    Bad("one character", train.on_file("a.txt", "a"), ("too few", "more text")),
    Bad("one character, by words", train.on_file("a.txt", "a", "--level", "word"), ("too few", "more text")),
    Bad("a few characters", train.on_file("a.txt", "hello"), ("too few", "--valid")),
    Bad("missing file", lambda _: train("nowhere.txt"), ("nowhere.txt", "not exist")),
    Bad("missing, name nearly right", _after(lambda f: (f / "input.txt").write_text(TEXT), *train("inptu.txt")), ('did you mean "input.txt"',)),
    Bad("a picture", train.on_file("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), ("a.txt", "picture")),
    Bad("mostly NUL bytes", train.on_file("a.txt", b"\0\0\0a" * 999), ("a.txt", "binary|not text")),
    Bad("truncated gzip", train.on_file("a.txt.gz", gzip.compress(TEXT.encode() * 9)[:-40]), ("a.txt.gz", "truncat")),
    Bad("mixed encodings", train.on_file("a.txt", TEXT.encode() + "café 电影 caf\xe9\n".encode() * 9 + b"caf\xe9\n"), ("a.txt", "utf-8|byte")),
    Bad("folder without text", _after(lambda f: (f / "d").mkdir(), *train("d")), ("d", "no text file")),
    Bad("rows without a text column", train.on_file("a.csv", "x,y\n1,2\n3,4\n"), ("a.csv", "x, y", "--text")),
    Bad("rows without this column", train.on_file("a.csv", "x,y\n1,2\n", "--text", "z"), ('"z"', "x, y")),
    Bad("a turn that is no text", train.on_file("a.jsonl", '{"turns": ["hi", 3]}\n' * 9), ("turn 2", "a.jsonl")),
    Bad("standard input is empty", lambda _: train("-"), ("empty",)),
    Bad("valid is missing", _text("--valid", "v.txt"), ("v.txt", "not exist")),
    Bad("valid is empty", _after(lambda f: [(f / "a.txt").write_text(TEXT), (f / "v.txt").touch()], *train("a.txt", "--valid", "v.txt")), ("v.txt", "empty")),
    Bad("test is missing", _text("--test", "t.txt"), ("t.txt", "not exist")),
    Bad("valid share too large", _text("--valid", "1.5"), ("1.5",)),
    Bad("test share negative", _text("--test", "-0.1"), ("-0.1",)),
]  # fmt: skip

SETTINGS = [
    Bad("unknown level", _text("--level", "letters"), ("letters", "char")),
    Bad("words of a script without blanks", train.on_file("a.txt", "หนังเรื่องนี้ดีมาก\n" * 30, "--level", "word"), ("part words", "--level char")),
    Bad("unknown documents", _text("--documents", "chapter"), ("chapter", "paragraph")),
    Bad("unknown cell", _text("--cell", "lsmt"), ('did you mean "lstm"',)),
    Bad("unknown preset", _text("--preset", "awd"), ("awd-lstm",)),
    Bad("unknown setting", _text("--model.atention", "9"), ('did you mean "attention"',)),
    Bad("attention below 0", _text("--model.attention", "-9"), ("attention", "-9")),
    Bad("tbptt 0", _text("--tbptt", "0"), ("tbptt", "0")),
    Bad("start is missing", _text("--start", "runs/none"), ("runs/none", "no run")),
    Bad("start is a classifier", _text("--start", "run"), ("run", "classify", "wanted a language model"), "classify"),
    Bad("resume without --out", _after(lambda f: (f / "a.txt").write_text(TEXT), "train", "lm", "a.txt", "--resume"), ("--out",)),
    Bad("out holds a run", _text("--out", "run"), ("run", "already holds a run"), "lm"),
    Bad("resume with other text", _after(lambda f: (f / "a.txt").write_text(TEXT + "more"), *train("a.txt", "--out", "run", "--resume")), ("not what the run was begun with",), "lm"),
]  # fmt: skip

WRITING = [
    Bad("no such run", _words("generate", "runs/none"), ("runs/none", "no run")),
    Bad("a classifier cannot write", _write(), ("classifier", "elman train lm"), "classify"),
    Bad("a classifier cannot talk", _write("--chat"), ("classifier", "language model"), "classify"),
    Bad("a prompt that nobody knows", _write("--prompt", "漢字電影"), ("漢字電影", "training text"), "lm"),
    Bad("negative length", _write("--length", "-5"), ("length", "-5"), "lm"),
    Bad("negative length of a beam", _write("--length", "-5", "--beam", "2"), ("length", "-5"), "lm"),
    Bad("no sample", _write("--samples", "0"), ("samples", "0"), "lm"),
    Bad("no beam", _write("--beam", "0"), ("beam", "0"), "lm"),
    Bad("negative temperature", _write("--temperature", "-1"), ("temperature", "-1"), "lm"),
    Bad("no temperature", _write("--temperature", "nan"), ("temperature", "nan"), "lm"),
    Bad("top-k below 0", _write("--top-k", "-1"), ("top_k", "-1"), "lm"),
    Bad("top-p 0", _write("--top-p", "0"), ("top_p", "above 0"), "lm"),
    Bad("min-p above 1", _write("--min-p", "2"), ("min_p", "2"), "lm"),
    Bad("penalty 0", _write("--repetition-penalty", "0"), ("repetition_penalty", "above 0"), "lm"),
    Bad("negative seed", _write("--seed", "-1"), ("seed", "-1"), "lm"),
    Bad("unknown weights", _write("--weights", "int9"), ("int9", "int8"), "lm"),
    Bad("no dialogues", _write("--chat"), ("dialogue", "turns"), "lm"),
    Bad("no regular expression", _write("--matching", "[a-"), (r"\[a-", "regular expression"), "lm"),
    Bad("an expression that cannot match", _write("--matching", "Z+"), ("exclude every token", "--matching"), "lm"),
    Bad("an expression that stops matching", _write("--matching", "theZ"), ("'the'", "exclude every token"), "lm"),
    Bad("required and forbidden", _write("--acrostic", "t", "--forbid", "t"), ("exclude every token", "--forbid"), "lm"),
    Bad("an acrostic that nobody knows", _write("--acrostic", "漢"), ("exclude every token", "--acrostic"), "lm"),
    Bad("everything forbidden", _write(*(w for c in set(TEXT) for w in ("--forbid", c)), "--acrostic", "t"), ("exclude every token",), "lm"),
    Bad("required and forbidden strings", _write("--require", "cat", "--forbid", "ca", "--length", "9"), ("'cat'", "exclude", "--forbid"), "lm"),
    Bad("a required string that ends the text", _write("--require", "the cat", "--stop", "cat"), ("'the cat'", "'cat'", "ends"), "lm"),
    Bad("a talk with constraints", _write("--chat", "--stop", "cat"), ("--chat", "--stop"), "lm"),
    Bad("a talk with a prompt", _write("--chat", "--prompt", "cat"), ("--chat", "--prompt"), "lm"),
    Bad("a required string that nobody knows", _write("--require", "漢"), ("require", "漢"), "lm"),
    Bad("required strings without room", _write("--require", "the cat", "--length", "3"), ("require", "7 tokens", "3"), "lm"),
    Bad("nothing required", _write("--require", ""), ("require", "empty"), "lm"),
    Bad("nothing forbidden", _write("--forbid", ""), ("forbid", "empty"), "lm"),
    Bad("nothing to stop at", _write("--stop", ""), ("stop", "empty"), "lm"),
    Bad("beam with constraints", _write("--beam", "2", "--matching", "a+"), ("--beam", "--matching"), "lm"),
    Bad("beam with required strings", _write("--beam", "2", "--require", "a"), ("--beam", "--require"), "lm"),
    Bad("beam with a temperature", _write("--beam", "2", "--temperature", "0.5", "--top-k", "3"), ("--beam", "draws nothing", "--temperature, --top-k"), "lm"),
    Bad("beam with samples", _write("--beam", "2", "--samples", "3"), ("--beam", "--samples"), "lm"),
    Bad("beam with scores", _write("--beam", "2", "--scores", "--stream"), ("--beam", "--stream, --scores"), "lm"),
    Bad("beam with weights", _write("--beam", "2", "--weights", "int8"), ("--beam", "--weights"), "lm"),
    Bad("a penalty without a beam", _write("--length-penalty", "1"), ("--length-penalty", "--beam"), "lm"),
    Bad("a stream of JSON", _write("--stream", "--json"), ("--stream", "--json"), "lm"),
    Bad("score: no such column", _after(lambda f: (f / "a.csv").write_text("x,y\n1,2\n"), "score", "run", "a.csv", "--text", "z"), ('"z"', "x, y"), "lm"),
    Bad("evaluate: no such column", _after(lambda f: (f / "a.csv").write_text("x,y\n1,2\n"), "evaluate", "run", "a.csv", "--text", "z"), ('"z"', "x, y"), "lm"),
    Bad("tokeniser is gone", _after(lambda f: (f / "run" / "tokenizer.json").unlink(), "generate", "run"), ("tokenizer.json", "missing"), "lm"),
]  # fmt: skip

MEASURING = [
    Bad("a classifier cannot score", _words("score", "run", "a.txt"), ("classifier", "language model"), "classify"),
    Bad("score: no such run", _words("score", "runs/none", "a.txt"), ("runs/none", "no run")),
    Bad("score: missing text", _words("score", "run", "a.txt"), ("a.txt", "not exist"), "lm"),
    Bad("score: empty text", _after(lambda f: (f / "a.txt").touch(), "score", "run", "a.txt"), ("a.txt", "empty"), "lm"),
    Bad("score: empty input", _words("score", "run", "-"), ("empty",), "lm"),
    Bad("score: a line without end", _after(lambda f: (f / "a.txt").write_text("a" * 1_000_001), "score", "run", "a.txt"), ("line 1", "1,000,001", "evaluate"), "lm"),
    Bad("evaluate: missing text", _words("evaluate", "run", "a.txt"), ("a.txt", "not exist"), "lm"),
    Bad("evaluate: empty text", _after(lambda f: (f / "a.txt").touch(), "evaluate", "run", "a.txt"), ("a.txt", "empty"), "lm"),
    Bad("evaluate: the last share", _after(lambda f: (f / "a.txt").write_text(TEXT), "evaluate", "run", "a.txt", "--last", "2"), ("2",), "lm"),
    Bad("evaluate: labels", _after(lambda f: (f / "a.txt").write_text(TEXT), "evaluate", "run", "a.txt", "--label", "x"), ("--label",), "lm"),
    Bad("evaluate: a classifier does not adapt", _after(lambda f: write_films(f / "films.csv"), "evaluate", "run", "films.csv", "--dynamic"), ("--dynamic", "language model"), "classify"),
    Bad("predict: no classes", _words("predict", "run", "a text"), ("language model", "elman generate"), "lm"),
]  # fmt: skip

TABLE = [*TEXTS, *SETTINGS, *WRITING, *MEASURING]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a language model; copy it before changing it."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "text.txt").write_text(TEXT)
    words = train(folder / "text.txt", "--out", folder / "run")
    assert main([str(word) for word in words]) == 0
    return folder / "run"


def _lay_run(kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if kind:
        source = request.getfixturevalue("written" if kind == "lm" else "trained")
        shutil.copytree(source, folder / "run")


def test_names_differ() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_text(
    bad: Bad, elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    _lay_run(bad.run, tmp_path, request)
    check_refusal(bad, elman, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ["generate"],
        ["generate", "run", "--lenght", "5"],
        ["generate", "run", "--length", "ten"],
        ["generate", "run", "--temperature", "warm"],
        ["score", "run"],
        ["train", "lm"],
    ],
)
def test_wrong_calls(elman, words: list[str]) -> None:
    answer = elman(*words)
    assert answer.code == 2 and answer.out == ""
    assert "Traceback" not in answer.err and "--help" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["--temperature", "0", "--length", "30"],
        ["--length", "0", "--prompt", "the "],
        ["--length", "5", "--prompt", "the 漢 cat"],
        ["--length", "20", "--prompt", TEXT * 150],  # 216 000 characters
        ["--length", "20", "--prompt", TEXT * 150, "--repetition-penalty", "1.2"],
        ["--length", "5", "--beam", "2", "--prompt", TEXT * 150],
    ],
    ids=["greedy", "nothing", "half known", "long prompt", "long prompt, penalty", "long, beam"],
)
def test_odd_but_possible(elman, written: Path, words: list[str]) -> None:
    answer = elman("generate", written, *words)
    assert answer.code == 0, answer.err
    assert elman("generate", written, *words).out == answer.out


def test_the_column_of_rows_can_be_named(elman, written: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"one": "the cat", "two": "the dog ran"}\n' * 2)
    for column, wanted in (("one", "the cat"), ("two", "the dog ran")):
        scored = elman("score", written, path, "--text", column)
        assert scored.code == 0 and wanted in scored.out, scored.err
        found = elman("evaluate", written, path, "--text", column, "--json")
        assert found.code == 0, found.err
    assert '"characters": 24' in found.out
    streamed = elman("generate", written, "--scores", "--stream", "--length", "5")
    assert streamed.out == elman("generate", written, "--scores", "--length", "5").out


def test_a_stop_is_shown_by_no_way_of_writing(elman, written: Path) -> None:
    words = ("generate", written, "--length", "200", "--stop", "at")
    shown = elman(*words).out
    assert "at" not in shown and elman(*words, "--stream").out == shown


def test_nul_bytes_are_characters(elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(TEXT.replace(".", "\0").encode())
    assert elman(*train("a.txt")).code == 0
    assert elman("generate", "out", "--prompt", "the mat\0", "--length", "20").code == 0
    assert elman("score", "out", "a.txt").code == 0
    assert "\0" not in (tmp_path / "out" / "report.html").read_text()


def test_standard_input_is_read_again_and_again(elman, tmp_path: Path) -> None:
    answer = elman(*train("-", "--out", tmp_path / "out"), stdin=TEXT.encode())
    assert answer.code == 0, answer.err
    assert f"{len(TEXT):,} characters in 1 document" in answer.err


@pytest.mark.slow
def test_a_line_of_200_megabytes(tmp_path: Path) -> None:
    line = TEXT.replace("\n", " ")
    with (tmp_path / "a.txt").open("w") as file:
        for _ in range(200_000_000 // len(line)):
            file.write(line)
    words = [*train("a.txt"), "--minutes", "0.1"]
    begun = time.monotonic()
    done = subprocess.run(
        [PROGRAM, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "5,000,000 tokens" in done.stderr and "500,000 tokens validate" in done.stderr
    # The largest of all children so far, in kB; torch alone takes half a gigabyte.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4_000_000
    assert time.monotonic() - begun < 1200
