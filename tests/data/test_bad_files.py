"""Files that cannot be read as asked: each gives one sentence that names the place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from elman.data import class_names, count_labels, read_examples, read_rows, read_vectors
from elman.errors import DataError, ElmanError

GOOD = b"text,label\n" + b"".join(b"some words %d,%d\n" % (i, i % 2) for i in range(3000))
CHECKED = zstandard.ZstdCompressor(write_checksum=True)
NOISE = bytes((i * 7919 + i // 3) % 256 for i in range(5000))


def parquet() -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"text": ["a"] * 999, "label": ["x"] * 999}).write_parquet(out)
    return out.getvalue()


@dataclass
class Bad:
    """File name, contents, options and what the sentence must say."""

    name: str
    content: bytes
    says: str
    options: dict[str, Any]


def bad(name: str, content: bytes, says: str, **options: Any) -> Bad:
    return Bad(name, content, says, options)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) * 8 + data[middle + 8 :]


TABLE = [
    bad("empty.csv", b"", r"empty\.csv: the file is empty"),
    bad("blank.csv", b"\n \n\n", "the file is empty"),
    bad("mark.csv", b"\xef\xbb\xbf", "the file is empty"),
    bad("header.csv", b"text,label\n", "a header but no row"),
    bad("photo.csv", b"\x89PNG\r\n\x1a\n" + NOISE, "PNG picture, not text"),
    bad("noise.csv", NOISE, "binary file, not text"),
    bad("zeros.csv", bytes(4000), "binary file, not text"),
    bad("book.xlsx", b"PK\x03\x04" + NOISE, "Office document, not text"),
    bad("model.pkl", b"\x80\x04\x95" + NOISE, "pickle, not text"),
    bad("ragged.csv", b"text,label\na,1\nb,c,2\nd,1\n", r"row 3 \(line 3\): 3 fields.*2 columns"),
    bad("short.csv", b"id,text,label\n1,a,1\n2,b\n3,c,0\n", r"row 3 \(line 3\): 2 fields.*3 col"),
    bad("open.csv", b'text,label\n"a, b",1\n"b,2\nc,1\nd,0\n', r"row 3 \(line 3\).*never closes"),
    bad("stray.csv", b'text,label\n"a" b,1\n"x, y",1\n', "quote"),
    bad("twice.csv", b"text,text,label\na,b,1\nc,d,0\n", 'two columns are called "text"'),
    bad("name.csv", b"text,label\na,1\nb,0\n", 'Did you mean "label"', label="lable"),
    bad("name2.csv", b"review,stars\na,1\nb,0\n", "review, stars", text="text_column"),
    bad(
        "both.csv",
        b"text,label\na,1\nb,0\n",
        "both the text and the label",
        text="label",
        label="label",
    ),
    bad("nan.csv", b"text,label\na,1\nb,NaN\nc,\nd,0\n", r"nan\.csv, row 3; nan\.csv, row 4"),
    bad("none.jsonl", b'{"text":"a","label":null}\n{"text":"b","label":"x"}\n', "line 1"),
    bad("one.csv", b"text,label\na,1\nb,1\n", "at least two classes"),
    bad("mixed.csv", "text,label\né è,1\n".encode() * 9 + b"\xff\xe9,1\n", "mixes encodings"),
    bad("ascii.csv", "text,label\né,1\n".encode(), "not ASCII", encoding="ascii"),
    bad("codec.csv", GOOD, "no encoding called", encoding="utf-9"),
    bad("half.csv", "text,label\né,1\n".encode("utf-16")[:-1], "UTF-16"),
    bad("format.csv", GOOD, 'Did you mean "jsonl"', format="jsnl"),
    bad("mark2.csv", GOOD, "is not one character", delimiter="ab"),
    bad("cut.csv.gz", cut(gzip.compress(GOOD)), "gzip file ends in the middle"),
    bad("cut.csv.xz", cut(lzma.compress(GOOD)), "xz file ends in the middle"),
    bad("cut.csv.bz2", cut(bz2.compress(GOOD)), "bz2 file ends in the middle"),
    bad("cut.csv.zst", cut(zstandard.compress(GOOD)), "zstd file ends in the middle"),
    bad("bit.csv.gz", flipped(gzip.compress(GOOD)), "gzip file is damaged"),
    bad("bit.csv.xz", flipped(lzma.compress(GOOD)), "xz file is damaged"),
    bad("bit.csv.bz2", flipped(bz2.compress(GOOD)), "bz2 file is damaged"),
    bad("bit.csv.zst", flipped(CHECKED.compress(GOOD)), "zstd file is damaged"),
    bad("cut.parquet", cut(parquet()), "not a readable Parquet file"),
    bad("false.parquet", b"PAR1" + NOISE + b"PAR1", "not a readable Parquet file"),
    bad("bad.jsonl", b'{"text":"a","label":1}\n{"text":\n', r"bad\.jsonl, line 2: not JSON"),
    bad("list.jsonl", b'{"text":"a","label":1}\n[1, 2]\n', "line 2: a JSON list"),
    bad("deep.jsonl", b"{" + b'"a":[' * 100_000 + b"\n", "JSON", format="jsonl"),
    bad("object.json", b'{\n"a": 1\n}', "array of objects is wanted"),
    bad("cut.json", b'[{"text":"a"}, {"te', "not JSON"),
    bad("columns.conll", b"a\tO\nb\n\n", r"line 2: 1 columns", format="conll"),
    bad("nolabel.txt", b"just prose\nmore prose, here\n", "no column looks like a label"),
    bad("hot.csv", b"text,x,y\na,1,0\nb,2,0\n", "they hold 0 and 1", label="x,y"),
]


def read_wholly(path: Path, options: dict[str, Any]) -> list[str]:
    examples = read_examples(path, **options)
    return class_names(count_labels(example.labels for example in examples), path.name)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_bad_files_are_explained(tmp_path: Path, case: Bad) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    with pytest.raises(DataError) as error:
        read_wholly(path, case.options)
    sentence = str(error.value)
    assert re.search(case.says, sentence), sentence
    assert "\n" not in sentence
    assert len(sentence) < 500
    assert path.read_bytes() == case.content


def test_a_missing_file_offers_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"does not exist.*Did you mean .*train\.csv"):
        read_examples(tmp_path / "tran.csv")


@pytest.mark.parametrize("path", ["", "a\x00b", "/dev/null", "/proc/self/mem"])
def test_odd_paths(path: str) -> None:
    if path.startswith("/") and not Path(path).exists():
        pytest.skip("not on this system")
    with pytest.raises(ElmanError):
        list(read_rows(path))


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("the tests run as a user who may read everything")
    with pytest.raises(DataError, match="permission denied"):
        read_examples(path)


def test_folders_without_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no examples"):
        read_examples(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"text,label\na,1\n")
    (tmp_path / "b.csv").write_bytes(b"text,other\na,1\n")
    with pytest.raises(DataError, match="its columns are text, other"):
        read_examples(tmp_path)


def test_missing_labels_can_be_dropped_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label\na,1\nb,nan\nc,\nd,0\n")
    dropped = read_examples(path, missing_labels="drop")
    assert [example.text for example in dropped] == ["a", "d"]
    assert dropped.facts["dropped"] == 2
    kept = read_examples(path, missing_labels="keep")
    assert [example.labels for example in kept] == [("1",), (), (), ("0",)]


VECTORS: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b"the\nof\n", "no file of word vectors"),
    (b"the 1 2 3\nof x y z\n" * 9, "not a word and 3 numbers"),
    (b"2 3\nthe " + bytes(12) + b"\nof " + bytes(12), "binary form"),
    (cut(gzip.compress(b"the 1 2 3\n" * 9000)), "ends in the middle"),
    (b"the 1 2 3\nof 1 2 3\n", "4 are wanted"),
]


@pytest.mark.parametrize(("content", "says"), VECTORS)
def test_bad_vectors(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_vectors(path, {"the": 2, "of": 3}, 4 if "wanted" in says else None)
