"""Files that are either wholly there or not there at all.

Everything elman writes goes to a temporary name in the same folder, is flushed to the disk and
then renamed, so that a full disk, a crash or a kill never leaves half a file under the real name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, RunError

_CAUSES = {
    errno.ENOSPC: ("the disk is full", "Free some space or name another folder."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or name another folder."),
    errno.EROFS: ("the file system is read-only", "Name a folder that can be written."),
    errno.EACCES: ("permission denied", "Name a folder that you may write."),
    errno.EPERM: ("permission denied", "Name a folder that you may write."),
    errno.EISDIR: ("it is a folder", "Name a file."),
    errno.ENOTDIR: ("a part of the path is a file", "Name a path whose parents are folders."),
    errno.ENOENT: ("it does not exist", "Check the path."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.EFBIG: ("the file would be larger than allowed", "Raise the limit on file sizes."),
}


def explain(error: OSError, path: str | os.PathLike[str], doing: str = "write") -> ElmanError:
    """The sentence for an operating system's error on `path`."""
    cause, hint = _CAUSES.get(error.errno or 0, (error.strerror or str(error), None))
    return ElmanError(f'cannot {doing} "{os.fspath(path)}": {cause}.', hint=hint)


def _of_the_system(error: Exception) -> OSError | None:
    """The operating system's error behind one; libraries in Rust tell it in words only."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`; when the block ends well, it is renamed to `path`.

    Raises:
        ElmanError: the folder cannot be made or the file cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except Exception as error:
        cause = _of_the_system(error)
        if cause is None:
            raise
        raise explain(cause, target) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path`, wholly or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Writes `content` as UTF-8 to `path`, wholly or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as readable JSON to `path`, wholly or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The JSON value in `path`.

    Raises:
        RunError: the file is missing, not UTF-8 or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(explain(error, path, "read").message) from error
    except UnicodeDecodeError as error:
        raise RunError(f"not UTF-8 at byte {error.start}.", where=str(path)) from error
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise RunError(f"not JSON: {error.msg}.", where=place) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
