"""Where a server's unix socket lies: a path of a socket must be short."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from pipelines.errors import ConfigurationError

# Linux takes 107 bytes, macOS 103.
_LONGEST_PATH_BYTES = 103


def socket_directory(directory: Path, socket_name: str) -> Path:
    """``directory/run``, or a short private folder derived from it where that cannot be.

    A comma would part the folder in two for libpq. The answer for a directory is always the
    same; nothing is created.
    """
    inside = directory / "run"
    if len(os.fsencode(inside / socket_name)) <= _LONGEST_PATH_BYTES and "," not in str(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"memstill-{digest}"


def open_socket_directory(path: Path) -> None:
    """Create the folder, or check that nobody else can have put anything into it.

    Raises:
        ConfigurationError: It is no folder, not ours, or open to others.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    is_private = stat.S_IMODE(found.st_mode) & 0o077 == 0
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or not is_private:
        raise ConfigurationError(
            f"{path} is not a private folder of this user: remove it, or set TMPDIR to a folder "
            "that only this user may write to"
        )


def close_socket_directory(path: Path) -> None:
    """Remove the folder unless something is left in it."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
