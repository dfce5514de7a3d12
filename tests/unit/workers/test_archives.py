"""Where the archive is, and that nothing is archived without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from config.schedule import Job
from config.settings import Settings
from pipelines.adapters.archive_directory import DirectoryArchive
from pipelines.adapters.archive_objects import ObjectArchive
from pipelines.errors import ConfigurationError
from workers.archives import open_archive

if TYPE_CHECKING:
    from pathlib import Path


def test_address_of_a_folder_opens_it(tmp_path: Path) -> None:
    """Also one with a space in its name."""
    folder = tmp_path / "cold store"

    opened = open_archive(folder.as_uri())
    opened.put("a", b"x")

    assert isinstance(opened, DirectoryArchive)
    assert b"x" == (folder / "a").read_bytes()


def test_address_of_a_bucket_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of it yet."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    assert isinstance(open_archive("s3://bucket/folder"), ObjectArchive)


@pytest.mark.parametrize("url", ["", "/folder", "file://", "file:///", "s3:", "ftp://host/x"])
def test_what_is_no_address_is_refused_with_what_to_write(url: str) -> None:
    """At start-up."""
    with pytest.raises(ConfigurationError, match="file:///path/of/a/folder or s3://"):
        open_archive(url)


def test_archive_job_is_scheduled_only_where_there_is_an_archive() -> None:
    """Without one nothing leaves the event log."""
    without = Settings(archive_url=None).policies().schedule.jobs
    with_one = Settings(archive_url="file:///tmp/x").policies().schedule.jobs

    assert Job.ARCHIVE not in without
    assert Job.ARCHIVE in with_one
    assert Job.SNAPSHOT_EVENTS in without
