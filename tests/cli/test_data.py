"""`elman data`: the list, the places, and downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from elman.cli import data
from elman.cli.download import Download, download, unpack
from elman.errors import DataError


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", folder
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELMAN_DATA", str(tmp_path / "sets"))
    return tmp_path / "sets"


def _tar(path: Path, name: str = "set/train/pos/1.txt") -> str:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"fine"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _offer(monkeypatch: pytest.MonkeyPatch, *files: Download) -> None:
    monkeypatch.setitem(data.SETS, "toy", data.PublicSet("a toy", "CC0", files))


def test_fetch_checks_unpacks_and_says_where(elman, server, home, monkeypatch) -> None:
    address, served = server
    _offer(monkeypatch, Download(f"{address}/toy.tar.gz", _tar(served / "toy.tar.gz")))
    answer = elman("data", "fetch", "toy")
    assert answer.code == 0 and answer.out.strip() == str(home / "toy")
    assert (home / "toy/set/train/pos/1.txt").read_text() == "fine"
    assert [path.name for path in (home / "toy").iterdir()] == ["set"]
    again = elman("data", "fetch", "toy")
    assert again.code == 0 and "already" in again.err
    assert json.loads(elman("data", "path", "toy", "--json").out)["files"]
    assert "toy" in elman("data", "list").out


def test_other_bytes_are_not_kept(elman, server, home, monkeypatch) -> None:
    address, served = server
    _tar(served / "toy.tar.gz")
    _offer(monkeypatch, Download(f"{address}/toy.tar.gz", "0" * 64))
    answer = elman("data", "fetch", "toy")
    assert answer.code == 1 and "checksum" in answer.err
    assert not (home / "toy").exists()


@pytest.mark.parametrize("name", ["missing.zip", "broken.zip"])
def test_no_file_and_no_server(elman, server, home, monkeypatch, name: str) -> None:
    address, _ = server
    if name == "broken.zip":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}"
    _offer(monkeypatch, Download(f"{address}/{name}", "0" * 64))
    answer = elman("data", "fetch", "toy")
    assert answer.code == 1 and "could not be fetched" in answer.err
    assert "Check the connection" in answer.err and "Traceback" not in answer.err
    assert not (home / "toy").exists()


def test_archives_stay_in_their_folder(tmp_path: Path) -> None:
    _tar(tmp_path / "bad.tar.gz", "../outside.txt")
    with pytest.raises(DataError):
        unpack(tmp_path / "bad.tar.gz")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as zipped:
        zipped.writestr("../../outside.txt", "x")
    unpack(tmp_path / "odd.zip")
    assert not (tmp_path.parent / "outside.txt").exists()


def test_truncated_archive(tmp_path: Path) -> None:
    _tar(tmp_path / "toy.tar.gz")
    whole = (tmp_path / "toy.tar.gz").read_bytes()
    (tmp_path / "toy.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        unpack(tmp_path / "toy.tar.gz")


def test_plain_files_stay(server, tmp_path: Path) -> None:
    address, served = server
    (served / "a+b.label").write_bytes(b"x")
    item = Download(f"{address}/a+b.label", hashlib.sha256(b"x").hexdigest())
    path = download(item, tmp_path / "set")
    unpack(path)
    assert path.name == "a_b.label" and path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["path", "imdb"], "elman data fetch imdb"),
        (["path", "imbd"], 'Did you mean "imdb"?'),
        (["fetch", "imbd"], 'Did you mean "imdb"?'),
        (["fetch", "snips"], "no lasting address"),
    ],
)
def test_sets_that_are_not_here(elman, home, words: list[str], told: str) -> None:
    answer = elman("data", *words)
    assert answer.code == 1 and told in answer.err


def test_list_as_json(elman, home) -> None:
    (home / "mine").mkdir(parents=True)
    listed = json.loads(elman("data", "list", "--json").out)
    sets = {row["name"]: row for row in listed["sets"]}
    assert sets["mine"]["here"] and not sets["imdb"]["here"] and sets["imdb"]["fetchable"]


def test_every_public_set_has_a_checksum() -> None:
    for name, public in data.SETS.items():
        assert public.what and public.licence, name
        for file in public.files:
            assert file.address.startswith("https://") and len(file.sha256) == 64
