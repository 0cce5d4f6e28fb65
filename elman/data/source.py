"""Opens anything a user may name: a file, packed or not, or standard input, as bytes or as text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from elman.data.encodings import BLOCK, TextDecoder, binary_kind, decode_blocks
from elman.data.rows import Asked, Faults
from elman.errors import DataError, MissingExtraError
from elman.files import explain

_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bz2"),
)


def compression_of(beginning: bytes) -> str | None:
    """gzip, xz, zstd or bz2 by the first bytes; None for a file that is not packed."""
    return next((name for magic, name in _PACKED if beginning.startswith(magic)), None)


def _unpack(raw: IO[bytes], compression: str | None) -> IO[bytes]:
    if compression is None:
        return raw
    if compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    if compression == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(raw))
    if compression == "bz2":
        return cast("IO[bytes]", bz2.BZ2File(raw))
    return _unpack_zstd(raw)


def _unpack_zstd(raw: IO[bytes]) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # pyright: ignore[reportMissingImports]

        return cast("IO[bytes]", zstd.ZstdFile(raw))
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError(
            "reading zstd files needs the package zstandard (or Python 3.14).",
            hint='Install it: pip install "elman[zstd]", or unpack the file with: zstd -d FILE.',
        ) from None
    return cast("IO[bytes]", _ZstdReader(raw, zstandard.ZstdDecompressor()))


class _ZstdReader:
    """Unpacks zstd frames; unlike the package's own reader it notices a file cut in mid-frame."""

    def __init__(self, raw: IO[bytes], unpacker: Any) -> None:
        self._raw = raw
        self._unpacker = unpacker
        self._frame: Any = None
        self._ready = b""

    def read(self, size: int) -> bytes:
        while not self._ready:
            data = self._raw.read(1 << 17)
            if not data:
                if self._frame is not None:
                    raise EOFError
                return b""
            self._feed(data)
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _feed(self, data: bytes) -> None:
        parts: list[bytes] = []
        while data:
            if self._frame is None:
                self._frame = self._unpacker.decompressobj()
            parts.append(self._frame.decompress(data))
            if not self._frame.eof:
                break
            data, self._frame = self._frame.unused_data, None
        self._ready = b"".join(parts)

    def close(self) -> None:
        self._raw.close()


class Unpacked:
    """Bytes after unpacking, with the errors of the packers turned into sentences.

    `peek(n)` gives the first bytes without consuming them.
    """

    def __init__(self, raw: IO[bytes], where: str) -> None:
        self.where = where
        self._held = b""
        self._given = 0
        self._raw = raw
        try:
            beginning = cast("Any", raw).peek(6)[:6]
        except OSError as error:
            raw.close()
            raise DataError(explain(error, where, "read").message) from error
        self.compression = compression_of(beginning)
        self._stream = _unpack(raw, self.compression)

    def _fetch(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except EOFError:
            raise self._broken("ends in the middle (truncated)") from None
        except (gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise self._broken(f"is damaged ({error})") from None
        except OSError as error:
            if self.compression and error.errno is None:
                raise self._broken(f"is damaged ({error})") from None
            raise DataError(explain(error, self.where, "read").message) from error
        except Exception as error:
            if type(error).__module__.startswith(("zstandard", "compression")):
                raise self._broken(f"is damaged ({error})") from None
            raise
        self._given += len(data)
        return data

    def _broken(self, how: str) -> DataError:
        return DataError(
            f"the {self.compression} file {how} after {self._given:,} bytes of its text.",
            where=self.where,
            hint="Copy or download it again.",
        )

    def peek(self, size: int) -> bytes:
        """Up to the first `size` bytes that are still to come."""
        while len(self._held) < size:
            more = self._fetch(size - len(self._held))
            if not more:
                break
            self._held += more
        return self._held[:size]

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; b"" at the end."""
        if size < 0:
            parts = [self._held]
            self._held = b""
            while more := self._fetch(BLOCK):
                parts.append(more)
            return b"".join(parts)
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        return self._fetch(size)

    def close(self) -> None:
        """Closes the file below."""
        self._stream.close()
        self._raw.close()


class Source:
    """A file or standard input that can be opened again and again.

    Standard input is copied to a temporary file while it is first read, so that a second reading
    (the vocabulary, then the rows) finds it there.

    Args:
        path: a file, or "-" for standard input.
        encoding: a name, or None to find it.
        encoding_errors: "strict" or "replace".
        faults: gathers what would stop a reading, which then goes on.

    Raises:
        DataError: there is no such file, it is a folder, or it may not be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoding: str | None = None,
        encoding_errors: str = "strict",
        faults: Faults | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.standard_input = self.path == "-"
        self.name = "standard input" if self.standard_input else Path(self.path).name
        self.encoding = encoding
        self.encoding_errors = encoding_errors
        self.faults = faults
        self.compression: str | None = None
        self.found_encoding: str | None = None
        self._copy: IO[bytes] | None = None

    def open(self) -> Unpacked:
        """The bytes of the file, unpacked, from the beginning."""
        if self.standard_input:
            if self._copy is None:
                self._copy = _copy_of_input()
                weakref.finalize(self, self._copy.close)
            os.lseek(self._copy.fileno(), 0, os.SEEK_SET)
            raw = cast("IO[bytes]", os.fdopen(os.dup(self._copy.fileno()), "rb"))
        else:
            raw = cast("IO[bytes]", _open_file(self.path))
        unpacked = Unpacked(raw, self.name)
        self.compression = unpacked.compression
        return unpacked

    def sample(self, size: int = BLOCK) -> bytes:
        """The first bytes, unpacked."""
        stream = self.open()
        try:
            return stream.peek(size)
        finally:
            stream.close()

    def text(self) -> Iterator[str]:
        """The text in pieces of about a million characters.

        Raises:
            DataError: binary, damaged, or not in the encoding.
        """
        stream = self.open()
        try:
            kind = None if self.encoding else binary_kind(stream.peek(1 << 16))
            if kind:
                raise DataError(
                    f"this is {kind}, not text.",
                    where=self.name,
                    hint="Give CSV, TSV, JSON Lines, Parquet, a folder per class or fastText.",
                )
            decoder = TextDecoder(self.name, self.encoding, self.encoding_errors, self.faults)
            for piece in decode_blocks(stream.read, decoder):
                self.found_encoding = decoder.found
                yield piece
            self.found_encoding = decoder.found
        finally:
            stream.close()

    def skip(self, error: DataError) -> None:
        """Says that a row cannot be read.

        Raises:
            DataError: the error, unless faults are gathered.
        """
        if self.faults is None:
            raise error from None
        self.faults.add("row", error)

    def lines(self) -> Iterator[str]:
        """The lines with their ends (line feed, carriage return or both), as `csv` wants them."""
        held: list[str] = []
        for piece in self.text():
            cut = piece.rfind("\n") + 1 or piece.rfind("\r", 0, len(piece) - 1) + 1
            if not cut:
                held.append(piece)
                continue
            held.append(piece[:cut])
            yield from io.StringIO("".join(held), newline="")
            held = [piece[cut:]]
        yield from io.StringIO("".join(held), newline="")


def source_of(path: str | os.PathLike[str], asked: Asked) -> Source:
    """The source at `path`, read as `asked`."""
    return Source(
        path,
        encoding=asked.encoding,
        encoding_errors=asked.encoding_errors,
        faults=asked.faults,
    )


def _open_file(path: str) -> IO[bytes]:
    if Path(path).is_dir():
        raise DataError(f'"{path}" is a folder; a file is wanted.', hint="Name a file in it.")
    try:
        return Path(path).open("rb")
    except OSError as error:
        reason = explain(error, path, "read")
        raise DataError(reason.message, hint=near(path) or reason.hint) from error
    except ValueError as error:  # a NUL in the path
        raise DataError(f"{path!r} is not a path: {error}.") from None


def near(path: str) -> str | None:
    """The file beside a missing one that the user may have meant."""
    from difflib import get_close_matches

    folder = Path(path).parent
    if Path(path).exists() or not folder.is_dir():
        return None
    close = get_close_matches(
        Path(path).name, sorted(entry.name for entry in folder.iterdir()), n=1, cutoff=0.7
    )
    return f'Did you mean "{folder / close[0]}"?' if close else None


def _copy_of_input() -> IO[bytes]:
    copy = tempfile.TemporaryFile(prefix="elman-stdin-")  # noqa: SIM115 - lives as long as its source
    source = getattr(sys.stdin, "buffer", None)
    try:
        if source is None:  # replaced by a text stream, as tests and notebooks do
            copy.write(sys.stdin.read().encode("utf-8", "surrogatepass"))
        else:
            while block := source.read(BLOCK):
                copy.write(block)
        copy.flush()
    except OSError as error:
        raise DataError(explain(error, tempfile.gettempdir()).message) from error
    return copy
