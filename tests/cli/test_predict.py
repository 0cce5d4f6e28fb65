"""`predict` and `evaluate` read other files as the run read the one that it was trained on."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from films import SMALL

from elman.cli.app import main

TITLES = [f"{('awful', 'lovely')[k % 2]} film {k}" for k in range(60)]
BODIES = [f"Some longer words about something else, number {k}." for k in range(60)]


def write_titles(path: Path, delimiter: str = ",", encoding: str = "utf-8", word: str = "") -> Path:
    rows = [f"title{delimiter}body{delimiter}kind"]
    rows += [
        delimiter.join((f"{title}{word}", f'"{body}"', ("bad", "good")[k % 2]))
        for k, (title, body) in enumerate(zip(TITLES, BODIES, strict=True))
    ]
    path.write_text("\n".join(rows) + "\n", encoding=encoding)
    return path


@pytest.fixture(scope="session")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on the column `title`, though `body` looks likelier."""
    folder = tmp_path_factory.mktemp("titled")
    words = ["train", "classify", str(write_titles(folder / "films.csv")), *SMALL]
    assert main([*words, "--text", "title", "--label", "kind", "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose file had a delimiter and an encoding that nobody could find."""
    folder = tmp_path_factory.mktemp("odd")
    data = write_titles(folder / "films.csv", "^", "cp1250", " příběh")
    words = ["train", "classify", str(data), *SMALL, "--out", str(folder / "run")]
    words += ["--text", "title", "--data.delimiter", "^", "--data.encoding", "cp1250"]
    assert main([*words, "--label", "kind"]) == 0
    return folder / "run"


def predicted(elman, *words: object, stdin: bytes = b"") -> list[str]:
    answer = elman("predict", *words, "--json", stdin=stdin)
    assert answer.code == 0, answer.err
    return [json.loads(line)["text"] for line in answer.out.splitlines()]


def test_the_column_that_was_trained_on_is_predicted(elman, titled: Path, tmp_path: Path) -> None:
    assert predicted(elman, titled, write_titles(tmp_path / "more.csv")) == TITLES
    capitals = (tmp_path / "more.csv").read_text().replace("title,", "Title,", 1)
    (tmp_path / "capitals.csv").write_text(capitals)
    assert predicted(elman, titled, tmp_path / "capitals.csv") == TITLES
    assert predicted(elman, titled, "-", stdin=capitals.encode()) == TITLES
    named = predicted(elman, titled, tmp_path / "more.csv", "--text", "body")
    assert named == predicted(elman, titled, tmp_path / "more.csv", "--data.text", "body") == BODIES


def test_a_file_without_the_column_is_refused(elman, titled: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body,text\nsome words,others\n")
    answer = elman("predict", titled, tmp_path / "a.csv")
    assert answer.code == 1
    assert 'no column "title", which the run was trained on' in answer.err
    assert "--text" in answer.err and "body, text" in answer.err
    (tmp_path / "b.csv").write_text("review\nsome words\n")
    assert predicted(elman, titled, tmp_path / "b.csv") == ["some words"]


def test_the_settings_of_the_data_are_the_runs(elman, odd: Path, tmp_path: Path) -> None:
    data = write_titles(tmp_path / "more.csv", "^", "cp1250", " příběh")
    wanted = [f"{title} příběh" for title in TITLES]
    assert predicted(elman, odd, data) == wanted
    assert predicted(elman, odd, "-", stdin=data.read_bytes()) == wanted
    assert predicted(elman, odd, "-", stdin=b"one ^ two\nthree\n") == ["one ^ two", "three"]
    other = write_titles(tmp_path / "other.csv", ";", "utf-8", " příběh")
    how = ("--data.delimiter", "semicolon", "--data.encoding", "utf-8")
    assert predicted(elman, odd, other, *how) == wanted
    assert elman("evaluate", odd, other).code == 1
    answer = elman("evaluate", odd, other, *how, "--json")
    assert answer.code == 0 and json.loads(answer.out)["evaluation"]["rows"] == len(TITLES)


def test_standard_input_is_a_file_like_any_other(elman, titled: Path, tmp_path: Path) -> None:
    table = write_titles(tmp_path / "more.csv").read_bytes()
    assert predicted(elman, titled, "-", stdin=table) == TITLES
    assert predicted(elman, titled, "-", stdin=gzip.compress(table)) == TITLES
    rows = "\n".join(json.dumps({"body": "x", "title": title}) for title in TITLES)
    assert predicted(elman, titled, "-", stdin=rows.encode()) == TITLES
    assert predicted(elman, titled, "-", stdin="Ein schöner Film\n".encode("cp1252")) == [
        "Ein schöner Film"
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["one line, with a comma"],
        ["body,text", "some, words"],
        ["good\tfilm", "bad\tfilm"],
        ["first", "", "third"],
        ["title"],
        ["# a = b", "[1, 2]", "{x}"],
        ['he said "yes', "no"],
    ],
)
def test_lines_stay_lines(elman, titled: Path, tmp_path: Path, lines: list[str]) -> None:
    content = "\n".join(lines) + "\n"
    assert predicted(elman, titled, "-", stdin=content.encode()) == lines
    (tmp_path / "lines.txt").write_text(content)
    assert predicted(elman, titled, tmp_path / "lines.txt") == [line for line in lines if line]


def test_columns_without_names(elman, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"{k % 2}\t{t}\n" for k, t in enumerate(TITLES)))
    words = ["train", "classify", tmp_path / "a.tsv", *SMALL, "--out", tmp_path / "run"]
    assert elman(*words).code == 0
    table = (tmp_path / "a.tsv").read_bytes()
    assert predicted(elman, tmp_path / "run", tmp_path / "a.tsv") == TITLES
    assert predicted(elman, tmp_path / "run", "-", stdin=table) == TITLES
    assert predicted(elman, tmp_path / "run", "-", stdin=b"a, b\n") == ["a, b"]


def test_every_kind_of_table_is_read_by_rows(elman, titled: Path, tmp_path: Path) -> None:
    table = pl.DataFrame({"body": BODIES, "title": TITLES})
    table.write_parquet(tmp_path / "a.parquet")
    table.write_ipc(tmp_path / "a.arrow")
    (tmp_path / "a.json").write_text(json.dumps(table.to_dicts()))
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(table.write_csv().encode()))
    for name in ("a.parquet", "a.arrow", "a.json", "a.csv.bz2"):
        assert predicted(elman, titled, tmp_path / name) == TITLES, name
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(table.write_csv().encode())
    for name in ("a.csv.zst", "a.csv.zstd"):
        (tmp_path / name).write_bytes(packed)
        assert predicted(elman, titled, tmp_path / name) == TITLES, name


@pytest.mark.parametrize(
    "name", ["flims.csv", "films.csv.gz", "films.zstd", "films.conllu", "data/films", "no.txt"]
)
def test_a_file_that_is_not_there_is_no_text(
    elman, titled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_titles(tmp_path / "films.csv")
    answer = elman("predict", titled, name)
    assert answer.code == 1 and answer.out == ""
    assert f'there is no file "{name}"' in answer.err and "standard input" in answer.err
    if name == "flims.csv":
        assert 'Did you mean "films.csv"?' in answer.err
    assert predicted(elman, titled, "-", stdin=name.encode()) == [name]


def test_a_folder_is_no_text(elman, titled: Path, tmp_path: Path) -> None:
    answer = elman("predict", titled, tmp_path)
    assert answer.code == 1 and "is a folder" in answer.err


def test_texts_stay_texts(elman, titled: Path) -> None:
    texts = [
        "a lovely film",
        "good",
        "I read films.csv",
        "either / or",
        "10/10",
        "and/or",
        "价格/味道都不错",
        "https://example.org/a",
        "3.5",
        "x/" * 3000,
        "a/b\0",
        "y" * 9000,
    ]
    assert predicted(elman, titled, *texts) == texts


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--data.encodng", "x"], 1, 'no setting "data.encodng". Did you mean "encoding"?'),
        (["--data.quoting", "double"], 1, "data.quoting"),
        (["--data.max_tokens", "9"], 1, "data.max_tokens: the model was trained"),
        (["--data.tokeniser.level", "char"], 1, "data.tokeniser"),
        (["--training.lr", "1"], 2, "only `train`"),
    ],
)
def test_settings_that_do_not_belong(
    elman, titled: Path, tmp_path: Path, verb: str, words: list[str], code: int, told: str
) -> None:
    answer = elman(verb, titled, write_titles(tmp_path / "a.csv"), *words)
    assert answer.code == code and told in answer.err, answer.err


def test_training_says_what_it_found(elman, tmp_path: Path) -> None:
    data = write_titles(tmp_path / "films.csv", ";", "utf-16")
    answer = elman("train", "classify", data, *SMALL, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "delimiter semicolon" in answer.err and "encoding utf-16" in answer.err
