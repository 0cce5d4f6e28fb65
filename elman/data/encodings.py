"""Which encoding some bytes are written in, and text decoded from a stream of them.

The encoding is decided where it first matters: bytes that are plain ASCII read the same in every
candidate, so the decision waits for the first byte above 127. A file whose first accent stands in
row two million is therefore read as well as one whose first accent stands in row one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from elman.data.rows import Faults
from elman.errors import DataError

BLOCK = 1 << 20  # bytes read and judged at a time

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Beginnings of files that are no text; the name is put into the error.
_BINARY = (
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x93NUMPY", "a numpy array"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"RIFF", "a RIFF sound or video file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
)


def _c1(error: UnicodeError) -> tuple[str, int]:
    # The five bytes that Windows-1252 leaves undefined become the control characters of latin-1,
    # as browsers do, so that the fallback can read every file.
    if isinstance(error, UnicodeDecodeError):
        return "".join(map(chr, error.object[error.start : error.end])), error.end
    raise error


codecs.register_error("elman-c1", _c1)


def binary_kind(sample: bytes) -> str | None:
    """What kind of binary file begins with `sample`; None when it may be text."""
    for magic, kind in _BINARY:
        if sample.startswith(magic):
            return kind
    if sample[257:262] == b"ustar":
        return "a tar archive"
    if not sample or any(sample.startswith(mark) for mark, _ in _MARKS) or _utf16_bare(sample):
        return None
    zeros = sample.count(0) / len(sample)
    if zeros > 0.3:
        return "a binary file"
    if _is_utf8(sample):
        return None
    controls = sum(sample.count(code) for code in (*range(9), *range(14, 27), *range(28, 32)))
    return "a binary file" if controls > 0.03 * len(sample) else None


def _utf16_bare(sample: bytes) -> str | None:
    """UTF-16 without a mark: nearly every second byte of Latin text is zero."""
    half = len(sample) // 2
    if half < 4:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.7 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf8_evidence(sample: bytes) -> tuple[int, int]:
    """(characters above 127 that are good UTF-8, bytes that are not UTF-8)."""
    text = sample.decode("utf-8", "surrogateescape")
    above = [char for char in text if char > "\x7f"]
    broken = sum("\udc80" <= char <= "\udcff" for char in above)
    return len(above) - broken, broken


def _looks_gb18030(sample: bytes) -> bool:
    """True when the bytes decode as GB18030 and most pairs are everyday Chinese characters."""
    decoder = codecs.getincrementaldecoder("gb18030")()
    try:
        text = decoder.decode(sample)
    except UnicodeDecodeError:
        return False
    above = [char for char in text if char > "\x7f"]
    everyday = 0
    for char in above:
        pair = char.encode("gb18030")
        # Level 1 of GB 2312 (the 3,755 most used characters) and its punctuation rows.
        if (
            len(pair) == 2
            and pair[1] >= 0xA1
            and (0xB0 <= pair[0] <= 0xD7 or pair[0] in {0xA1, 0xA3})
        ):
            everyday += 1
    return bool(above) and everyday > 0.7 * len(above)


def detect_encoding(sample: bytes) -> str | None:
    """The name of the encoding of `sample`; None while it is plain ASCII and nothing is decided.

    UTF-8 (with and without mark), UTF-16, UTF-32, GB18030, and Windows-1252 (which contains
    latin-1) for everything else. Text that is mostly UTF-8 with a few foreign bytes counts as
    UTF-8: the decoder then names the first foreign byte rather than garble the rest.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    bare = _utf16_bare(sample)
    if bare:
        return bare
    if sample.isascii():
        return None
    if _is_utf8(sample):
        return "utf-8"
    good, broken = _utf8_evidence(sample)
    if good >= max(1, broken):
        return "utf-8"
    return "gb18030" if _looks_gb18030(sample) else "cp1252"


def check_encoding(name: str) -> str:
    """`name` as Python knows it.

    Raises:
        DataError: there is no such text encoding.
    """
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        raise DataError(
            f'there is no encoding called "{name}".',
            hint="Well known ones: utf-8, utf-16, gb18030, cp1252, latin-1, big5, shift_jis.",
        ) from None
    return "utf-8-sig" if name.lower() == "utf-8-sig" else codec.name


class TextDecoder:
    """Decodes blocks of bytes in turn; counts lines and bytes so that an error can name them.

    Args:
        where: the file's name, for errors.
        encoding: a name, or None to find it.
        errors: "strict" or "replace" (a byte that does not fit becomes U+FFFD).
        faults: gathers the errors; a byte that does not fit then becomes U+FFFD too.
    """

    def __init__(
        self,
        where: str,
        encoding: str | None = None,
        errors: str = "strict",
        faults: Faults | None = None,
    ) -> None:
        self.where = where
        self.encoding = check_encoding(encoding) if encoding else None
        self.errors = errors
        self.faults = faults
        self.named = encoding is not None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._bytes = 0
        self._lines = 0

    @property
    def found(self) -> str:
        """The encoding so far; plain ASCII is called UTF-8, which contains it."""
        return self.encoding or "utf-8"

    def decode(self, block: bytes, final: bool = False) -> str:
        """The text of the next block.

        Raises:
            DataError: a byte does not fit the encoding; names line and byte.
        """
        if self._decoder is None:
            if not self.named and self.encoding is None:
                self.encoding = detect_encoding(block)
                if self.encoding is None:
                    self._bytes += len(block)
                    self._lines += block.count(b"\n")
                    return block.decode("ascii")
            policy = "elman-c1" if self.encoding == "cp1252" and not self.named else self.errors
            self._decoder = codecs.getincrementaldecoder(self.found)(policy)
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            found = self._explain(error, len(state[0]))
            if self.faults is None:
                raise found from None
            self.faults.add("encoding", found)
            text = self._with_replacements(self._decoder, state, block, final)
        except UnicodeError as error:
            message = f"not {self.found.upper()}: {error}."
            raise DataError(message, where=self.where, hint="Name it with encoding=.") from None
        self._bytes += len(block)
        self._lines += text.count("\n")
        return text

    def _with_replacements(
        self,
        decoder: codecs.IncrementalDecoder,
        state: tuple[bytes, int],
        block: bytes,
        final: bool,
    ) -> str:
        # A strict decoder that has failed is put back to where it stood before the block.
        decoder.setstate(state)
        strict, decoder.errors = decoder.errors, "replace"
        try:
            return decoder.decode(block, final)
        finally:
            decoder.errors = strict

    def _explain(self, error: UnicodeDecodeError, held: int) -> DataError:
        position = self._bytes - held + error.start
        before = bytes(error.object[: error.start]).decode(self.found, "replace")
        line = self._lines + before.count("\n") + 1
        value = error.object[error.start]
        hint = (
            "Name the encoding (--data.encoding), or read on with a replacement character "
            "(--data.encoding-errors replace)."
        )
        mixed = "" if self.named else "; the text before it is, so that the file mixes encodings"
        return DataError(
            f"the byte 0x{value:02X} (byte {position + 1} of the text) "
            f"is not {self.found.upper()}{mixed}.",
            where=f"{self.where}, line {line}",
            hint=hint,
        )


def decode_blocks(
    read: Callable[[int], bytes], decoder: TextDecoder, block: int = BLOCK
) -> Iterator[str]:
    """The text behind `read`, in pieces; `read(n)` gives b"" at the end."""
    while data := read(block):
        text = decoder.decode(data)
        if text:
            yield text
    text = decoder.decode(b"", final=True)
    if text:
        yield text
