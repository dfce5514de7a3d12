"""Which archive the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from pipelines.ports import Archive


def open_archive(url: str) -> Archive:
    """The archive at an address.

    Raises:
        ConfigurationError: It is none.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.strip("/"):
        from pipelines.adapters.archive_directory import DirectoryArchive

        return DirectoryArchive(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from pipelines.adapters.archive_objects import open_s3

        return open_s3(url)
    raise ConfigurationError(
        "MEMSTILL_ARCHIVE_URL is no address of an archive: write file:///path/of/a/folder or "
        "s3://bucket/folder, or leave it out and nothing is archived"
    )
