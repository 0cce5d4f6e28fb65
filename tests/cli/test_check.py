"""`elman check classify` goes on where training would stop, and says where that is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from films import SMALL, write_films


def findings(elman, *words: object) -> dict[str, dict]:
    answer = elman("check", "classify", *words, "--json")
    assert answer.err == "", answer.err
    found = {entry["kind"]: entry for entry in json.loads(answer.out)["findings"]}
    assert answer.code == int(any(entry["severity"] == "error" for entry in found.values()))
    return found


def test_bad_rows_are_found_and_the_others_looked_at(elman, tmp_path: Path) -> None:
    data = write_films(tmp_path / "films.csv")
    lines = data.read_text().splitlines()
    lines[5:5] = ["one,two,three", "alone"]
    lines += ["twice,good", "twice,good", "<br> x,good", "no label,"]
    data.write_text("\n".join(lines) + "\n")
    found = findings(elman, data)
    rows = found["unreadable-rows"]
    assert rows["severity"] == "error" and rows["count"] == 2
    assert rows["examples"][0].startswith("films.csv, row 6 (line 6): 3 fields")
    assert found["missing-label"]["examples"] == ["films.csv, row 87"]
    assert found["duplicates-within"]["count"] == 1 and found["html"]["count"] == 1


def test_bytes_of_another_encoding_are_found(elman, tmp_path: Path) -> None:
    data = write_films(tmp_path / "films.csv")
    content = data.read_bytes().splitlines()
    content[3] += b" again"
    content.insert(4, "a café is déjà vu,good".encode())
    content.insert(9, b"a caf\xe9 once,good")
    data.write_bytes(b"\n".join(content) + b"\n")
    found = findings(elman, data)
    assert found["undecodable"]["severity"] == "error"
    assert found["undecodable"]["examples"][0].startswith("films.csv, line 10: the byte 0xE9")
    assert found["broken-encoding"]["examples"][0].startswith("films.csv, row 10")
    assert "label-typos" in found or "tiny-classes" in found
    replaced = findings(elman, data, "--data.encoding-errors", "replace")
    assert "undecodable" not in replaced and replaced["broken-encoding"]["severity"] == "warning"


def test_the_other_files_are_read_on_too(elman, tmp_path: Path) -> None:
    rows = [{"title": f"{w} film {k}", "body": "the longer column", "kind": w}
            for k in range(30) for w in ("good", "bad")]  # fmt: skip
    good = [json.dumps(row) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(good) + "\n")
    (tmp_path / "b.jsonl").write_text("\n".join([*good[:9], "{", "[1]", *good[9:]]) + "\n")
    how = ("--text", "title", "--label", "kind")
    found = findings(elman, tmp_path / "a.jsonl", "--test", tmp_path / "b.jsonl", *how)
    assert found["unreadable-rows"]["count"] == 2
    assert found["unreadable-rows"]["examples"][0].startswith("test: b.jsonl, line 10: not JSON")
    assert found["duplicates-across"]["count"] == len(rows)


@pytest.mark.parametrize("separator", [True, False])
def test_no_label_is_right_where_several_are(elman, tmp_path: Path, separator: bool) -> None:
    lines = ["text,label"] + [f"words {k},{('a', 'b', 'a;b')[k % 3]}" for k in range(30)]
    data = tmp_path / "a.csv"
    data.write_text("\n".join([*lines, "no label here,"]) + "\n")
    how = ("--data.label-separator", ";") if separator else ()
    found = findings(elman, data, *how)
    trained = elman("train", "classify", data, *SMALL, *how, "--out", tmp_path / "run")
    assert trained.code == int("missing-label" in found) == int(not separator), trained.err
    assert ("no-label" in found) == separator


def test_the_settings_are_those_of_training(elman, tmp_path: Path) -> None:
    data = tmp_path / "films.csv"
    data.write_text("".join(f"film {k}^{k % 2}\n" for k in range(40)))
    assert elman("check", "classify", data).code == 1
    answer = elman("check", "classify", data, "--data.delimiter", "^", "--data.header", "false")
    assert answer.code == 0 and "delimiter: ^" in answer.out, answer.err
    answer = elman("check", "classify", data, "--data.delimter", "^")
    assert answer.code == 1 and 'Did you mean "delimiter"?' in answer.err
    assert elman("check", "classify", data, "--training.lr", "1").code == 2
