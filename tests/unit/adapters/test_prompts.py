"""Prompts: found beside the package or in it, and named by their content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.prompts import Prompt, load_prompt
from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_prompt_in_the_folder_goes_before_the_shipped_one(tmp_path: Path) -> None:
    """What an operator lays there is what is asked; everything else is as shipped."""
    (tmp_path / "distill_v1.md").write_text("Mine.", encoding="utf-8")

    assert "Mine." == load_prompt("distill", "v1", tmp_path).text
    assert load_prompt("judge", "v1") == load_prompt("judge", "v1", tmp_path)


def test_version_changes_with_the_text() -> None:
    """Two texts under one name are told apart in what they led to."""
    one, other = Prompt("distill", "v1", "a"), Prompt("distill", "v1", "b")

    assert one.version.startswith("distill-v1/")
    assert one.version != other.version


def test_missing_prompt_says_which_there_are(tmp_path: Path) -> None:
    """The remedy names the folder and the versions that are known."""
    (tmp_path / "distill_mine.md").write_text("Mine.", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"known versions are mine, v1.*PROMPTS_DIR"):
        load_prompt("distill", "v9", tmp_path)


def test_prompt_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding is not asked with garbage in it."""
    (tmp_path / "distill_v2.md").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationError, match=r"distill_v2\.md cannot be read"):
        load_prompt("distill", "v2", tmp_path)
