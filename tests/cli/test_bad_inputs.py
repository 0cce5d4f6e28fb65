"""Bad inputs, one a row: each ends with exit code 1 and one clear sentence, and nothing is lost.

`run` in the words stands for a copy of a trained run.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import random
import resource
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from films import SMALL, write_films
from refusals import PROGRAM, Bad, Build, Training, check_refusal, check_sentence

train = Training("classify", SMALL)


def _films(*more: object) -> Build:
    def build(folder: Path) -> list[object]:
        write_films(folder / "films.csv")
        return train("films.csv", *more)

    return build


def _setup(words: Callable[[Path], list[object] | None], *more: object) -> Build:
    """The films and whatever `words` lays out beside them; it may give more words."""

    def build(folder: Path) -> list[object]:
        write_films(folder / "films.csv")
        return train("films.csv", *more, *(words(folder) or []))

    return build


def _film_lines(rows: int = 40) -> str:
    lines = [
        f"a {('lovely', 'awful')[k % 2]} film {k},{('good', 'bad')[k % 2]}" for k in range(rows)
    ]
    return "text,label\n" + "\n".join(lines) + "\n"


def _noise(size: int) -> bytes:
    return random.Random(0).randbytes(size)


def _write(name: str, text: str, *words: object) -> Callable[[Path], list[object]]:
    def put(folder: Path) -> list[object]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return list(words)

    return put


def _empty_folders(folder: Path) -> list[object]:
    (folder / "data").mkdir()
    return train("data")


def _one_folder(folder: Path) -> list[object]:
    (folder / "data" / "good").mkdir(parents=True)
    for number in range(8):
        (folder / "data" / "good" / f"{number}.txt").write_text(f"text {number}")
    return train("data")


def _is_folder(folder: Path) -> list[object]:
    (folder / "films.csv").mkdir()
    return ["predict", "films.csv", "a text"]


def _held_by_a_run(folder: Path) -> list[object]:
    (folder / "out").mkdir()
    (folder / "out" / "config.yaml").write_text("task: classify\n")
    return []


def _vectors(name: str, text: str) -> Build:
    return _setup(_write(name, text, "--vectors", name))


FILES = [
    Bad("missing file", lambda _: train("nowhere.csv"), ("nowhere.csv", "no such|not exist|no file")),
    Bad("missing, name nearly right", _setup(lambda _: ["--valid", "flims.csv"]), ("films.csv",)),
    Bad("empty file", train.on_file("a.csv", ""), ("a.csv", "empty")),
    Bad("blank lines only", train.on_file("a.csv", "\n\n  \n"), ("a.csv",)),
    Bad("header only", train.on_file("a.csv", "text,label\n"), ("a.csv", "no rows|row|example|text")),
    Bad("png", train.on_file("a.csv", b"\x89PNG\r\n\x1a\n" + _noise(5000)), ("a.csv", "picture|png|binary|not text")),
    Bad("noise", train.on_file("a.csv", b"\x00\x01" + _noise(5000)), ("a.csv",)),
    Bad("zip", train.on_file("a.csv", b"PK\x03\x04" + _noise(500)), ("a.csv", "zip")),
    Bad("pickle", train.on_file("a.csv", b"\x80\x04\x95" + _noise(500)), ("a.csv", "pickle")),
    Bad("truncated gzip", train.on_file("a.csv.gz", gzip.compress(_film_lines(4000).encode())[:-900]), ("a.csv.gz", "truncat|cut|damaged|end")),
    Bad("damaged gzip", train.on_file("a.csv.gz", gzip.compress(b"x" * 9)[:10] + _noise(300)), ("a.csv.gz",)),
    Bad("truncated xz", train.on_file("a.csv.xz", lzma.compress(_film_lines(4000).encode())[:-700]), ("a.csv.xz", "truncat|cut|damaged|end")),
    Bad("damaged zstd", train.on_file("a.csv.zst", b"\x28\xb5\x2f\xfd" + _noise(400)), ("a.csv.zst",)),
    Bad("mixed encodings", train.on_file("a.csv", _film_lines().encode() + "café,good\n".encode() + "caf\xe9,bad\n".encode("latin-1") + "电影,good\n".encode()), ("a.csv", "utf-8|encoding|byte")),
    Bad("line of 10 MB", train.on_file("a.csv", _film_lines() + '"' + "x" * 10_000_000 + "\n"), ("a.csv", "line|row|quote")),
    Bad("quote never closed", train.on_file("a.csv", _film_lines() + '"never closed,good\n' + "more\n" * 30), ("a.csv", "quot")),
    Bad("ragged csv", train.on_file("a.csv", _film_lines() + "one,two,three,four\n"), ("a.csv", "column|field|cell", "42")),
    Bad("short row", train.on_file("a.csv", _film_lines() + "only one\n", "--text", "text", "--label", "label"), ("a.csv", "42")),
    Bad("same column twice", train.on_file("a.csv", "text,text\n" + "a,b\n" * 9, "--text", "text"), ("text",)),
    Bad("bad json line", train.on_file("a.jsonl", '{"text": "a", "label": "x"}\n' * 9 + '{"text": \n'), ("a.jsonl", "10", "json")),
    Bad("json line that is a list", train.on_file("a.jsonl", '{"text": "a", "label": "x"}\n' * 9 + "[1, 2]\n"), ("a.jsonl", "10")),
    Bad("truncated parquet", train.on_file("a.parquet", b"PAR1" + _noise(600)), ("a.parquet",)),
    Bad("folder without classes", _empty_folders, ("data",)),
    Bad("one class folder", _one_folder, ("class",)),
    Bad("standard input is empty", lambda _: train("-"), ("input", "empty")),
]  # fmt: skip

CONTENT = [
    Bad("one class only", train.on_file("a.csv", "text,label\n" + "a film,good\n" * 30), ("good", "class")),
    Bad("all texts empty", train.on_file("a.csv", "text,label\n" + ",good\n,bad\n" * 9), ("text", "empty")),
    Bad("missing label", train.on_file("a.csv", _film_lines() + "a film,\n"), ("label", "42")),
    Bad("NaN label", train.on_file("a.jsonl", '{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n' * 9 + '{"text": "e", "label": NaN}\n'), ("label", "19")),
    Bad("unknown text column", _films("--text", "txet"), ("txet", 'did you mean "text"')),
    Bad("unknown label column", _films("--label", "lable"), ("lable", 'did you mean "label"')),
    Bad("text is label", _films("--text", "label", "--label", "label"), ("label",)),
    Bad("valid has an unknown class", _setup(_write("v.csv", "text,label\na film,splendid\n", "--valid", "v.csv")), ("splendid", "v.csv|valid")),
    Bad("test has other columns", _setup(_write("t.csv", "review,stars\na film,good\nb film,bad\n", "--test", "t.csv")), ("t.csv", "column", "text|label")),
    Bad("test has an unknown class", _setup(_write("t.csv", "text,label\na film,splendid\n", "--test", "t.csv")), ("splendid",)),
    Bad("test is missing", _films("--test", "t.csv"), ("t.csv",)),
    Bad("valid share too large", _films("--valid", "1.5"), ("1.5",)),
    Bad("valid share negative", _films("--valid", "-0.1"), ("-0.1",)),
]  # fmt: skip

SETTINGS = [
    Bad("unknown cell", _films("--cell", "lsmt"), ("lsmt", 'did you mean "lstm"')),
    Bad("unknown preset", _films("--preset", "bilstm-golve"), ("bilstm-golve", 'did you mean "bilstm-glove"')),
    Bad("unknown setting", _films("--model.hiden", "3"), ("model.hiden", 'did you mean "hidden"')),
    Bad("unknown section", _films("--modle.hidden", "3"), ("modle", 'did you mean "model"')),
    Bad("wrong type", _films("--training.lr", "ten"), ("training.lr", "ten")),
    Bad("not a list", _films("--training.betas", "[0.9, "), ("training.betas", "list")),
    Bad("hidden 0", _films("--hidden", "0"), ("hidden", "0")),
    Bad("depth -1", _films("--depth", "-1"), ("depth", "-1")),
    Bad("epochs -2", _films("--epochs", "-2"), ("epochs", "-2")),
    Bad("minutes 0", _films("--minutes", "0"), ("minutes", "0")),
    Bad("devices 0", _films("--devices", "0"), ("devices", "0")),
    Bad("folds 1", _films("--folds", "1"), ("folds|parts", "1")),
    Bad("more folds than rows", _films("--folds", "500"), ("500",)),
    Bad("shots of words", _films("--shots", "10,few"), ("--shots", "few", "10 30 100")),
    Bad("more shots than rows", _films("--shots", "5000"), ("5000|rows", "from 3 to")),
    Bad("no seeds", _films("--shots", "10", "--shots-seeds", "0"), ("seeds", "1 or more")),
    Bad("two language models", _films("--encoder", "a", "--pretrain", "b"), ("--encoder", "--pretrain")),
    Bad("shots and folds", _films("--shots", "10", "--folds", "3"), ("--folds", "--shots")),
    Bad("folds and a validation part", _films("--folds", "3", "--valid", "0.2"), ("--valid", "--folds", "leave")),
    Bad("folds and a test file", _films("--folds", "3", "--test", "films.csv"), ("--test", "--folds", "leave")),
    Bad("folds resumed", _films("--folds", "3", "--resume"), ("--resume", "--folds", "leave")),
    Bad("missing encoder", _films("--encoder", "runs/lm"), ("runs/lm", "no run")),
    Bad("encoder is no run", _setup(lambda f: (f / "d").mkdir(), "--encoder", "d"), ("d", "not a run")),
    Bad("missing encoder of a curve", _films("--shots", "10", "--encoder", "runs/lm"), ("runs/lm", "no run")),
    Bad("text to learn first, and vectors", _films("--pretrain", "films.csv", "--vectors", "v.txt"), ("v.txt", "language model", "Leave it out")),
    Bad("missing text to learn first", _films("--pretrain", "t.txt"), ("t.txt", "no file|not exist|no such")),
    Bad("unknown tokeniser level", _films("--data.tokeniser.level", "words"), ("level", "word")),
    Bad("unknown pooling", _films("--model.pooling", "avg"), ("avg", "mean|max")),
    Bad("unknown optimiser", _films("--training.optimiser", "adamm"), ("adamm", "adam")),
    Bad("unknown encoding", _films("--data.encoding", "utf-88"), ("utf-88",)),
    Bad("unknown format", _films("--data.format", "excel"), ("excel", "csv")),
    Bad("unknown device", _films("--device", "gpu7"), ("gpu7",)),
    Bad("config missing", _films("--config", "c.yaml"), ("c.yaml", "not exist")),
    Bad("config is no yaml", _setup(_write("c.yaml", "model: [1, 2\n", "--config", "c.yaml")), ("c.yaml", "yaml")),
    Bad("config is a list", _setup(_write("c.yaml", "- a\n- b\n", "--config", "c.yaml")), ("c.yaml", "list")),
    Bad("config has an unknown key", _setup(_write("c.yaml", "model:\n  hiden: 3\n", "--config", "c.yaml")), ("hiden", "hidden")),
    Bad("config has a wrong section", _setup(_write("c.yaml", "model: 3\n", "--config", "c.yaml")), ("model",)),
    Bad("vectors missing", _films("--vectors", "v.txt"), ("v.txt",)),
    Bad("vectors of two widths", _vectors("v.txt", "film 1 2 3\nlovely 1 2\nawful 1 2 3\n"), ("v.txt", "2")),
    Bad("vectors of words", _vectors("v.txt", "film a b c\nlovely d e f\n"), ("v.txt",)),
    Bad("vectors empty", _vectors("v.txt", ""), ("v.txt",)),
]  # fmt: skip

OUTPUT = [
    Bad("out is a file", _setup(_write("out", "mine")), ("out", "file")),
    Bad("out holds a run", _setup(_held_by_a_run), ("out", "already holds a run", "--resume")),
    Bad("out below a file", _setup(_write("f", "mine"), "--out", "f/run"), ("f", "file")),
    Bad("out is /dev/full", _films("--out", "/dev/full"), ("/dev/full",)),
    Bad("out cannot be made", _films("--out", "/proc/elman/run"), ("/proc/elman",)),
    Bad("out has a name too long", _films("--out", "x" * 300), ("name", "long")),
    Bad("resume without --out", lambda f: ["train", "classify", write_films(f / "films.csv"), "--resume"], ("--out",)),
    Bad("resume where no run is", _films("--resume"), ("out", "no run")),
    Bad("resume of an empty folder", _setup(lambda f: (f / "out").mkdir(), "--resume"), ("out", "no run")),
]  # fmt: skip


def _changed(change: Callable[[Path], object], *words: object) -> Build:
    def build(folder: Path) -> list[object]:
        change(folder / "run")
        return list(words or ("predict", "run", "a lovely film"))

    return build


def _flip(name: str) -> Callable[[Path], object]:
    def flip(run: Path) -> None:
        data = bytearray((run / name).read_bytes())
        data[len(data) // 2] ^= 1
        (run / name).write_bytes(bytes(data))

    return flip


def _cut(name: str) -> Callable[[Path], object]:
    return lambda run: os.truncate(run / name, (run / name).stat().st_size // 2)


def _gone(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


def _version(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))


def _nothing(_: Path) -> None:
    return


RUNS = [
    Bad("no such run", lambda _: ["predict", "runs/none", "a"], ("runs/none", "no run")),
    Bad("not a run", lambda f: [(f / "d").mkdir(), "predict", "d", "a"][1:], ("d", "not a run")),
    Bad("run is a file", lambda f: [write_films(f / "films.csv"), "predict", "films.csv", "a"][1:], ("films.csv",)),
    Bad("run is a folder of data", _is_folder, ("films.csv", "not a run")),
    *(
        Bad(f"without {name}", _changed(_gone(name)), (name, "missing|no "), run="classify")
        for name in ("config.yaml", "model.safetensors", "tokenizer.json")
    ),
    Bad("unfinished", _changed(_gone("manifest.json")), ("not finished", "--resume"), run="classify"),
    Bad("a byte of the weights flipped", _changed(_flip("model.safetensors")), ("model.safetensors", "checksum"), run="classify"),
    Bad("a byte of the tokeniser flipped", _changed(_flip("tokenizer.json")), ("tokenizer.json", "checksum"), run="classify"),
    Bad("a byte of the result flipped", _changed(_flip("result.json"), "report", "run"), ("result.json", "checksum"), run="classify"),
    Bad("evaluate: a byte of the result flipped", _changed(_flip("result.json"), "evaluate", "run", "none.csv"), ("result.json", "checksum"), run="classify"),
    Bad("report: a byte of the settings flipped", _changed(_flip("config.yaml"), "report", "run"), ("config.yaml", "checksum"), run="classify"),
    Bad("weights cut", _changed(_cut("model.safetensors")), ("model.safetensors", "damaged"), run="classify"),
    Bad("manifest cut", _changed(_cut("manifest.json")), ("manifest.json", "json"), run="classify"),
    Bad("another version", _changed(_version), ("format 99", "wanted format 1"), run="classify"),
    Bad("evaluate: missing data", _changed(_nothing, "evaluate", "run", "none.csv"), ("none.csv",), run="classify"),
    Bad("evaluate: other columns", lambda f: [(f / "t.csv").write_text("a,b\nx,y\n"), "evaluate", "run", "t.csv"][1:], ("t.csv", "column"), run="classify"),
    Bad("evaluate: unknown class", lambda f: [(f / "t.csv").write_text("text,label\na film,splendid\n"), "evaluate", "run", "t.csv"][1:], ("splendid",), run="classify"),
    Bad("predict: empty input", _changed(_nothing, "predict", "run", "-"), ("empty",), run="classify"),
    Bad("predict: nothing", _changed(_nothing, "predict", "run"), ("nothing to predict",), run="classify"),
    Bad("predict: not UTF-8", _changed(_nothing, "predict", "run", "-"), ("line 2", "utf-8", "--data.encoding"), "classify", "déjà\n".encode() + b"\xff\n"),
    Bad("predict: no such file", _changed(_nothing, "predict", "run", "flims.csv"), ("flims.csv", "no file"), run="classify"),
    Bad("predict: a folder", _changed(_nothing, "predict", "run", "run"), ("run", "folder"), run="classify"),
    Bad("predict: other columns", lambda f: [(f / "t.csv").write_text("a,b\nx,y\n"), "predict", "run", "t.csv"][1:], ("t.csv", '"text"', "--text"), run="classify"),
    Bad("predict: unknown setting", _changed(_nothing, "predict", "run", "a", "--data.encodng", "x"), ("encodng", "encoding"), run="classify"),
    Bad("evaluate: setting of the model", _changed(_nothing, "evaluate", "run", "a.csv", "--data.max_tokens", "3"), ("data.max_tokens", "trained"), run="classify"),
    Bad("report: no run", lambda _: ["report", "runs/none"], ("runs/none",)),
    Bad("report: no result", _changed(_gone("result.json"), "report", "run"), ("result.json",), run="classify"),
    Bad("check: missing file", lambda _: ["check", "classify", "none.csv"], ("none.csv",)),
    Bad("check: unknown setting", lambda f: ["check", "classify", write_films(f / "a.csv"), "--data.encodng", "x"], ("encodng", "encoding")),
    Bad("check: unknown column", lambda f: ["check", "classify", write_films(f / "a.csv"), "--text", "txet"], ('"text"',)),
]  # fmt: skip

TABLE = [*FILES, *CONTENT, *SETTINGS, *OUTPUT, *RUNS]


def test_there_are_enough_rows() -> None:
    assert len(TABLE) >= 40
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_input(
    bad: Bad, elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if bad.run:
        request.getfixturevalue("a_run")
    check_refusal(bad, elman, tmp_path, monkeypatch)


def test_no_gpu(elman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    answer = elman(*_films("--device", "cuda")(tmp_path))
    assert answer.code == 1
    check_sentence(answer.err, ("cuda",))


def _sub(words: list[object], folder: Path, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload]
        [PROGRAM, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


def _quota(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [100, 20_000])
def test_disk_quota(tmp_path: Path, size: int) -> None:
    write_films(tmp_path / "films.csv")
    before = (tmp_path / "films.csv").read_bytes()
    done = _sub(train("films.csv"), tmp_path, preexec_fn=_quota(size))
    assert done.returncode == 1, done.stderr
    check_sentence(done.stderr, ("larger than allowed|disk|space",))
    assert (tmp_path / "films.csv").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    write_films(tmp_path / "films.csv")
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = _sub(train("films.csv"), tmp_path)
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert done.returncode == 1
    check_sentence(done.stderr, ("permission",))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_behind_predictions(a_run: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, "predict", a_run, "a lovely film"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    check_sentence(done.stderr, ("disk is full",))
