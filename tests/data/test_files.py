"""Files of every format, encoding and packing come back as they were written."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elman.data import frames, read_examples, read_rows
from elman.errors import DataError

# Everything but NUL (its own test), surrogates, and what `csv` itself cannot round-trip.
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\x00")
TEXTS = st.text(CHARACTERS, max_size=60) | st.sampled_from(
    [
        'say "hi"',
        "a,b;c|d\te",
        "two\nlines",
        "mac\rline",
        "emoji 👩‍👩‍👧 ok",
        "中文，评论",
        "",
        " x ",
    ]
)
LABELS = st.sampled_from(["pos", "neg", "1", "2", "very, good", "ä b"])
TABLES = st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=12)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def as_csv(rows: list[tuple[str, str]], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    return out.getvalue().encode()


def as_json_lines(rows: list[tuple[str, str]]) -> bytes:
    lines = [json.dumps({"text": t, "label": x}, ensure_ascii=False) for t, x in rows]
    return "\n".join(lines).encode()


def as_parquet(rows: list[tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"text": [t for t, _ in rows], "label": [x for _, x in rows]}).write_parquet(out)
    return out.getvalue()


def as_arrow_stream(rows: list[tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    frame = pl.DataFrame({"text": [t for t, _ in rows], "label": [x for _, x in rows]})
    frame.write_ipc_stream(out)
    return out.getvalue()


WRITERS = {
    "csv": as_csv,
    "all-quoted.csv": lambda rows: as_csv(rows, quoting=csv.QUOTE_ALL),
    "semicolon.csv": lambda rows: as_csv(rows, ";"),
    "tsv": lambda rows: as_csv(rows, "\t"),
    "bar.csv": lambda rows: as_csv(rows, "|"),
    "jsonl": as_json_lines,
    "json": lambda rows: json.dumps([{"text": t, "label": x} for t, x in rows]).encode(),
    "parquet": as_parquet,
    "arrow": as_arrow_stream,
}


def pairs(path: Path, **options: object) -> list[tuple[str, str]]:
    examples = read_examples(path, **options)  # pyright: ignore[reportArgumentType]
    return [(example.text, *example.labels) for example in examples]  # pyright: ignore


@pytest.mark.parametrize("kind", WRITERS)
@QUICK
@given(rows=TABLES, packing=st.sampled_from(sorted(PACKERS)))
def test_what_was_written_is_read(
    tmp_path: Path, kind: str, rows: list[tuple[str, str]], packing: str
) -> None:
    path = tmp_path / f"table.{kind}{packing}"
    path.write_bytes(PACKERS[packing](WRITERS[kind](rows)))
    assert pairs(path) == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gb18030", "cp1252"])
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    latin = [("Ein schöner Film, très émouvant", "1"), ("plain words", "0")] * 20
    chinese = [("味道很好，送餐也快", "1"), ("太慢了，不会再来", "0")] * 20
    rows = chinese if encoding == "gb18030" else latin
    path = tmp_path / "table.csv"
    path.write_bytes(as_csv(rows).decode().encode(encoding))
    examples = read_examples(path)
    assert [(example.text, *example.labels) for example in examples] == rows
    assert examples.facts["encoding"] == encoding


def test_the_encoding_is_decided_where_it_first_matters(tmp_path: Path) -> None:
    rows = [("plain words " * 20, "a")] * 8000 + [("Müller café", "b")]
    path = tmp_path / "late.csv"
    path.write_bytes(as_csv(rows).decode().encode("cp1252"))
    assert path.stat().st_size > 1_500_000
    assert pairs(path) == rows


def test_mixed_encodings_name_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    good = "text,label\n" + "café crème,a\n" * 30
    path.write_bytes(good.encode() + "caf\xe9,b\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"mixed\.csv, line 32: the byte 0xE9 \(byte 465") as error:
        list(read_examples(path))
    assert good.encode().__len__() + 4 == 465
    assert "encoding-errors" in str(error.value)
    assert pairs(path, encoding_errors="replace")[-1] == ("caf\ufffd", "b")
    assert pairs(path, encoding="latin-1")[-1] == ("café", "b")


def test_null_characters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "nul.csv"
    path.write_bytes(b"text,label\na\x00b,1\nc,0\n")
    assert pairs(path) == [("a\x00b", "1"), ("c", "0")]


def test_a_field_of_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_bytes(as_csv([("word, " * 1_700_000, "a"), ("x", "b")]))
    found = pairs(path)
    assert len(found[0][0]) == 10_200_000
    assert found[1] == ("x", "b")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "lines.csv"
    path.write_bytes(ending.join(["text,label", "good one,1", "bad one,0", ""]).encode())
    assert pairs(path) == [("good one", "1"), ("bad one", "0")]


def test_headerless_files(tmp_path: Path) -> None:
    path = tmp_path / "sms.txt"
    path.write_text("ham\tsee you, later\nspam\twin a prize; now\nham\tok then, fine\n" * 4)
    examples = read_examples(path)
    assert examples.facts["header"] is False
    assert (examples.facts["text"], examples.facts["label"]) == ("2", "1")
    assert next(iter(examples)).labels == ("ham",)
    named = read_examples(path, text=2, label=1)
    assert [e.text for e in named] == [e.text for e in examples]


def test_unquoted_tsv_keeps_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    path.write_text('label\ttext\na\t"Star Wars" is good\nb\tsay "no\na\tplain words\n')
    assert [example.text for example in read_examples(path)] == [
        '"Star Wars" is good',
        'say "no',
        "plain words",
    ]


def test_backslash_quotes(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text('text,label\n"say \\"hi\\", now",a\n"no",b\n')
    assert pairs(path) == [('say "hi", now', "a"), ("no", "b")]


def test_fasttext(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("__label__a __label__b some text here\n__label__c other\n\n__label__a\tx y\n")
    examples = read_examples(path)
    found = [(example.text, example.labels) for example in examples]
    assert found == [("some text here", ("a", "b")), ("other", ("c",)), ("x y", ("a",))]
    assert examples.facts["format"] == "fasttext"
    assert examples.several_labels


def test_conll_comments_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.conll"
    path.write_text("# intent = Play\nplay\tO\n#\tB-x\n\n\n# intent = Stop\nstop\tO\n")
    rows = list(read_rows(path))
    assert [row.fields["text"] for row in rows] == ["play #", "stop"]
    assert [row.fields["tags"] for row in rows] == [["O", "B-x"], ["O"]]
    assert [e.labels for e in read_examples(path)] == [("Play",), ("Stop",)]
    assert rows[1].where == "s.conll, line 6"


def test_folder_per_class(tmp_path: Path) -> None:
    for label in ("pos", "neg", "unsup"):
        (tmp_path / label).mkdir()
        for number in range(3):
            (tmp_path / label / f"{number}_7.txt").write_text(f"{label} {number}\n")
    (tmp_path / ".DS_Store").write_bytes(b"\x00\x01")
    (tmp_path / "urls.txt").write_text("http://x\n")
    found = [(e.text, e.labels, e.where) for e in read_examples(tmp_path)]
    assert len(found) == 6
    assert found[0] == ("neg 0", ("neg",), "neg/0_7.txt")


def test_file_per_class(tmp_path: Path) -> None:
    (tmp_path / "English.txt").write_text("Smith\nJones\n")
    (tmp_path / "Irish.txt").write_text("O'Brien\n")
    assert pairs(tmp_path) == [("Smith", "English"), ("Jones", "English"), ("O'Brien", "Irish")]


def test_a_folder_of_splits_asks_for_one(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / "0.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds parts of a data set .*--valid"):
        read_examples(tmp_path)


def test_hugging_face_folder_with_class_names(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["a b", "c d"], "label": [1, 0]})
    frame.write_ipc_stream(tmp_path / "data-00000-of-00001.arrow")
    features = {"label": {"_type": "ClassLabel", "names": ["neg", "pos"]}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features}))
    (tmp_path / "state.json").write_text("{}")
    assert pairs(tmp_path) == [("a b", "pos"), ("c d", "neg")]


def one_stream(parts: list[pl.DataFrame]) -> bytes:
    """The parts as the batches of one Arrow stream; polars itself writes a single batch."""
    found, end = [], b"\xff\xff\xff\xff\0\0\0\0"
    for part in parts:
        out = io.BytesIO()
        part.write_ipc_stream(out)
        content = out.getvalue().removesuffix(end)
        schema = 8 + int.from_bytes(content[4:8], "little")
        found.append(content[schema:] if found else content)
    return b"".join(found) + end


def test_labels_in_a_dictionary_of_an_arrow_stream(tmp_path: Path) -> None:
    parts = [
        pl.DataFrame({"text": ["one", "two"], "label": labels}).with_columns(
            pl.col("label").cast(pl.Categorical)
        )
        for labels in (["a", "b"], ["b", "c"])
    ]
    (tmp_path / "a.arrow").write_bytes(one_stream(parts))
    assert pairs(tmp_path / "a.arrow") == [("one", "a"), ("two", "b"), ("one", "b"), ("two", "c")]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_is_read_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    parts = [
        pl.DataFrame({"text": [f"words {n} {k}" for k in range(50)], "label": ["a", "b"] * 25})
        for n in range(20)
    ]
    table = pl.concat(parts)
    path = tmp_path / "a.arrow"
    if kind == "file":
        table.write_ipc(path, record_batch_size=50)
    else:
        path.write_bytes(one_stream(parts))
    heights: list[int] = []
    whole = pl.DataFrame.iter_rows
    monkeypatch.setattr(frames, "_SLICE", 50)
    monkeypatch.setattr(
        pl.DataFrame, "iter_rows", lambda f, **how: heights.append(f.height) or whole(f, **how)
    )
    if kind == "stream":
        read = pl.read_ipc_stream

        def small(source: io.BytesIO) -> pl.DataFrame:
            assert len(source.getvalue()) < path.stat().st_size / 5
            return read(source)

        monkeypatch.setattr(pl, "read_ipc_stream", small)
    assert pairs(path) == table.rows()
    assert max(heights) == 50


def test_an_arrow_stream_that_is_cut_or_empty(tmp_path: Path) -> None:
    table = pl.DataFrame({"text": ["a", "b"] * 500, "label": ["x", "y"] * 500})
    path = tmp_path / "a.arrow"
    table.write_ipc_stream(path)
    content = path.read_bytes()
    for size in (len(content) // 2, 9, 40, *range(len(content) - 7, len(content))):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"a\.arrow: not a readable Arrow file"):
            list(read_rows(path))
    table.clear().write_ipc_stream(path)
    rows = read_rows(path)
    assert rows.columns == ["text", "label"] and list(rows) == []


def test_numeric_labels_have_one_spelling(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a", "b", "c"], "label": [1.0, 0.0, 2.5]}).write_parquet(tmp_path / "p")
    assert [x for _, x in pairs(tmp_path / "p")] == ["1", "0", "2.5"]
    (tmp_path / "j.jsonl").write_text('{"text":"a","label":1}\n{"text":"b","label":0.0}\n')
    assert [x for _, x in pairs(tmp_path / "j.jsonl")] == ["1", "0"]
    (tmp_path / "c.csv").write_text("text,label\na,01\nb,1\n")
    assert [x for _, x in pairs(tmp_path / "c.csv")] == ["01", "1"]


def test_several_labels(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"text":"a","label":["x","y"]}\n{"text":"b","label":[]}\n')
    examples = read_examples(tmp_path / "l.jsonl")
    assert [e.labels for e in examples] == [("x", "y"), ()]
    assert examples.several_labels
    (tmp_path / "s.csv").write_text("text,label\na,x|y\nb,y\nc,\n")
    found = read_examples(tmp_path / "s.csv", label_separator="|", delimiter=",")
    assert [e.labels for e in found] == [("x", "y"), ("y",), ()]
    (tmp_path / "h.csv").write_text("comment,toxic,rude\na,1,1\nb,0,0\nc,0,1\n")
    found = read_examples(tmp_path / "h.csv", label="toxic,rude")
    assert [e.labels for e in found] == [("toxic", "rude"), (), ("rude",)]


def test_rows_know_their_place_and_the_facts_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "train.csv.gz"
    path.write_bytes(gzip.compress(b"review;stars\nnice and long text;5\nbad text;1\n"))
    examples = read_examples(path)
    assert [example.where for example in examples] == [
        "train.csv.gz, row 2",
        "train.csv.gz, row 3",
    ]
    facts = examples.facts
    assert (facts["delimiter"], facts["compression"], facts["rows"]) == ("semicolon", "gzip", 2)
    assert (facts["text"], facts["label"], facts["header"]) == ("review", "stars", True)


def test_the_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    rows = [("one, two", "a"), ("three", "b")]
    prints = set()
    for kind in ("csv", "jsonl", "parquet"):
        path = tmp_path / f"t.{kind}"
        path.write_bytes(WRITERS[kind](rows))
        prints.add(read_examples(path).fingerprint())
    path = tmp_path / "other.csv"
    path.write_bytes(as_csv([("one, tw", "a"), ("three", "b")]))
    assert len(prints) == 1
    assert read_examples(path).fingerprint() not in prints


def test_standard_input_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(gzip.compress(b"text,label\nx,1\ny,0\n"))

    monkeypatch.setattr("sys.stdin", Input())
    examples = read_examples("-")
    assert len(list(examples)) == len(list(examples)) == 2
    assert next(iter(examples)).where == "standard input, row 2"


def test_plain_lines_for_prediction(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("good film, really\nbad, long, dull\nfine\n")
    examples = read_examples(path, need_labels=False)
    assert next(example.text for example in examples) == "good film, really"
    assert examples.facts["format"] == "lines"


def test_a_subset_streams_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(9)))
    chosen = read_examples(path).select([7, 2])
    assert list(chosen.texts()) == ["t2", "t7"]
    assert len(chosen) == 2
