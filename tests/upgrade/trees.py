"""The source of another release, out of the repository's history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NoSuchTree(Exception):
    """The repository has no such commit."""


def name_commit(repository: Path, ref: str) -> str:
    """The commit that a name stands for, shortened.

    Raises:
        NoSuchTree: It stands for none.
    """
    return _git(repository, "rev-parse", "--short", f"{ref}^{{commit}}").decode().strip()


def check_out(repository: Path, ref: str, folder: Path) -> Path:
    """Put the files of a commit into a new folder."""
    packed = _git(repository, "archive", "--format=tar", ref)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(repository: Path, *words: str) -> bytes:
    ended = subprocess.run(["git", "-C", str(repository), *words], capture_output=True, check=False)
    if ended.returncode:
        raise NoSuchTree(ended.stderr.decode().strip())
    return ended.stdout
