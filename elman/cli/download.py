"""Files from their publishers, checked against a checksum before they get their name."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from elman import __version__
from elman.cli.output import say
from elman.errors import DataError, ElmanError
from elman.files import explain, replacing

_BLOCK = 1 << 20
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Download:
    """A file's address at its publisher and the SHA-256 of its bytes."""

    address: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return unquote(Path(urlsplit(self.address).path).name).replace("+", "_")


def download(item: Download, folder: Path) -> Path:
    """Fetches the file into `folder`; nothing is left there when it fails.

    Raises:
        DataError: no connection, an answer that is not the file, or another checksum.
    """
    target = folder / item.name
    say(f"Fetching {item.address} ...")
    digest = hashlib.sha256()
    request = Request(item.address, headers={"User-Agent": f"elman/{__version__}"})
    fresh = not folder.exists()
    try:
        with replacing(target) as temporary:
            # The address is one of elman's own table, never the user's.
            with (
                urlopen(request, timeout=_PATIENCE_SECONDS) as answer,
                temporary.open("wb") as file,
            ):
                while block := answer.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != item.sha256:
                raise DataError(
                    f"got a file with the checksum {digest.hexdigest()[:12]}..., wanted "
                    f"{item.sha256[:12]}....",
                    where=item.address,
                    hint="The publisher changed it or the download broke; nothing was kept.",
                )
    except (URLError, TimeoutError, ConnectionError, ElmanError) as error:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        reason = _connection(error)
        if reason is None:
            raise
        raise DataError(
            f"could not be fetched: {reason}.",
            where=item.address,
            hint=f"Check the connection, or put the file into {folder} yourself.",
        ) from error
    return target


def _connection(error: BaseException) -> str | None:
    """Why the connection failed, or None when it was not the connection."""
    # `replacing` turns every OSError into a sentence, a lost connection too.
    cause = error.__cause__ if isinstance(error, ElmanError) else error
    if isinstance(cause, URLError):
        return str(cause.reason)
    if isinstance(cause, (TimeoutError, ConnectionError)):
        return str(cause) or "no answer"
    return None


def unpack(archive: Path) -> None:
    """Unpacks a tar or zip archive beside itself and removes it; other files stay as they are.

    Raises:
        DataError: the archive is damaged or holds a path outside its folder.
    """
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(archive.parent, filter="data")
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                # ZipFile itself drops absolute paths and `..`.
                zipped.extractall(archive.parent)
        else:
            return
        archive.unlink()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"cannot be unpacked: {error}.", where=str(archive)) from error
    except OSError as error:
        raise explain(error, archive.parent) from error
