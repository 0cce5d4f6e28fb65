"""Running text: documents, boundaries, parts, windows that follow one another."""

from __future__ import annotations

import gzip
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from elman.data import TokeniserConfig, build_tokeniser
from elman.data.corpus import Corpus, EncodedCorpus, Windows, encode_corpus
from elman.data.passages import parts_of, text_files
from elman.errors import DataError


def _encoded(path: Path, **options: object) -> tuple[EncodedCorpus, list[str]]:
    corpus = Corpus(str(path), **options)  # type: ignore[arg-type]
    config = TokeniserConfig(level="char", lowercase=False, min_count=1)
    tokeniser = build_tokeniser(corpus.texts(), config)
    made = encode_corpus(corpus, tokeniser)
    edges = np.flatnonzero(made.ids == 0)
    texts = [tokeniser.decode(made.ids[a + 1 : b].tolist())
             for a, b in pairwise(edges)]  # fmt: skip
    return made, texts


def test_a_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\r\ntwo\n\nthree"))
    made, texts = _encoded(path)
    assert texts == ["one\ntwo\n\nthree"]
    assert (made.documents, made.characters, made.predicted) == (1, 14, 15)


def test_lines_paragraphs_rows_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n\nthree\n")
    assert _encoded(path, documents="line")[1] == ["one\n", "two\n", "three\n"]
    assert _encoded(path, documents="paragraph")[1] == ["one\ntwo\n", "three\n"]
    poems = tmp_path / "poems.jsonl"
    rows = [{"author": "a", "text": ["春眠", "不覺曉"]}, {"text": "x"}, {"text": None}]
    poems.write_text("\n".join(json.dumps(row) for row in rows))
    assert _encoded(poems)[1] == ["春眠\n不覺曉\n", "x\n"]
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("B")
    (folder / "deep" / "a.txt").write_text("A")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    assert sorted(_encoded(folder)[1]) == ["A", "B"]


def test_bytes_and_unknown_pieces_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("aé")
    tokeniser = build_tokeniser(["aab"], TokeniserConfig(level="char", min_count=1))
    made = encode_corpus(Corpus(str(path)), tokeniser)
    assert (made.bytes, made.characters, made.unknown) == (3, 2, 1)


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("  \n")
    with pytest.raises(DataError, match="no text"):
        _encoded(tmp_path / "empty.txt")
    (tmp_path / "rows.jsonl").write_text('{"a": "x", "b": "y"}')
    with pytest.raises(DataError, match="which column"):
        _encoded(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match='no column "c"'):
        _encoded(tmp_path / "rows.jsonl", text="c")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no text file"):
        _encoded(tmp_path / "none")


@pytest.mark.parametrize(("streams", "steps", "offset"), [(1, 5, 0), (3, 4, 2), (2, 100, 0)])
def test_windows_follow_one_another(streams: int, steps: int, offset: int) -> None:
    ids = np.arange(50, dtype=np.int32) % 7
    windows = Windows(EncodedCorpus(ids, 0, 8, 50, 50, 0, ""), streams, steps, offset)
    parts = [windows[k] for k in range(len(windows))]
    inputs = np.concatenate([part.inputs for part in parts])
    targets = np.concatenate([part.targets for part in parts])
    assert inputs.shape == (windows.length, streams)
    for stream in range(streams):
        begin = offset + stream * windows.length
        assert (inputs[:, stream] == ids[begin : begin + windows.length]).all()
        assert (targets[:, stream] == ids[begin + 1 : begin + 1 + windows.length]).all()
    assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
    for part in parts[1:]:
        marks = part.inputs == 0
        assert (part.resets is None and not marks.any()) or bool((part.resets == marks).all())
    with pytest.raises(IndexError):
        windows[len(windows)]


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
def test_however_it_is_cut_the_text_is_the_same(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    text = "some words " * 9 + "\r\n" + "x" * 300 + "\r\n\r" + "漢" * 90
    path.write_bytes(text.encode())
    whole, texts = _encoded(path)
    assert texts == [text.replace("\r\n", "\n").replace("\r", "\n")]
    monkeypatch.setattr("elman.data.corpus._PIECE", size)
    monkeypatch.setattr("elman.data.encodings.decode_blocks.__defaults__", (37,))
    made, again = _encoded(path)
    assert again == texts
    assert (made.ids == whole.ids).all()
    assert made.fingerprint == whole.fingerprint and made.documents == 1


def test_standard_input_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n"), encoding="utf-8"))
    assert _encoded(Path("-"))[1] == ["one\ntwo\n"]


def test_which_files_of_a_folder_are_which_part(tmp_path: Path) -> None:
    names = ["wiki.train.tokens", "wiki.dev.raw", "deep/test/a.txt", "contest.txt", "LICENSE",
             "README.md", "SHA256SUMS", "licence.txt", "picture.png"]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    found = {part: [file.name for file in files] for part, files in parts_of(tmp_path).items()}
    wanted = {"train": ["wiki.train.tokens"], "valid": ["wiki.dev.raw"], "test": ["a.txt"]}
    assert found == {**wanted, "": ["contest.txt"]}
    assert len(text_files(tmp_path)) == 4
    (tmp_path / "wiki.train.tokens").unlink()
    assert parts_of(tmp_path) == {}  # nothing to train on is no parted folder


@pytest.mark.parametrize("level", ["char", "byte", "blank", "prose", "bpe"])
@pytest.mark.parametrize("size", [1 << 20, 20])
def test_the_text_before_a_place_is_measured_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, size: int
) -> None:
    """Against a text whose first half is encoded alone; unknown words and blanks count."""
    monkeypatch.setattr("elman.data.corpus._PIECE", size)
    text = "".join(f"word{k}  näher x\n" for k in range(30))
    (tmp_path / "a.txt").write_text(text)
    config = TokeniserConfig(level=level, lowercase=False, min_count=5)  # type: ignore[arg-type]
    corpus = Corpus(str(tmp_path / "a.txt"), documents="line")
    tokeniser = build_tokeniser([text], config)
    made = encode_corpus(corpus, tokeniser)
    edges = np.flatnonzero(made.ids == 0)
    for line in (0, 1, 17, 29):
        before = "".join(text.splitlines(keepends=True)[:line])
        wanted = (len(before), len(before.encode()))
        assert made.sizes_before(int(edges[line]), corpus, tokeniser) == wanted
        inside = int(edges[line]) + 1 + len(tokeniser.encode(f"word{line}"))
        found = made.sizes_before(inside, corpus, tokeniser)[0] - len(before)
        assert len(f"word{line}") <= found <= len(f"word{line}") + 2
    assert made.characters == len(text)


def test_a_dialogue_counts_its_replies_alone(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text('{"turns": ["hello there", "é"]}\n' * 2, encoding="utf-8")
    made, _ = _encoded(path)
    assert (made.characters, made.bytes) == (4, 6)
    assert made.predicted == 5  # two replies of two characters, and the end
