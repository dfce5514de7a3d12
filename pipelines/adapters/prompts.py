"""Prompts: versioned, shipped with the package or laid beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Prompt:
    """The fixed part of what a model is asked.

    Attributes:
        task: What it asks for: ``distill``.
        name: Its version: ``v1``.
    """

    task: str
    name: str
    text: str

    @property
    def version(self) -> str:
        """Task, version and hash, as stored with what came of it: ``distill-v1/1a2b3c4d``."""
        return f"{self.task}-{self.name}/{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


def load_prompt(task: str, name: str, folder: Path | None = None) -> Prompt:
    """Read a prompt from ``{task}_{name}.md``, in the folder if it is there, else as shipped.

    Raises:
        ConfigurationError: There is none, or it cannot be read; says which there are.
    """
    shipped = resources.files("pipelines").joinpath("prompts")
    places: list[Traversable] = [shipped] if folder is None else [folder, shipped]
    for place in places:
        file = place.joinpath(f"{task}_{name}.md")
        if file.is_file():
            return Prompt(task, name, _read(file))
    known = sorted({found for place in places for found in _names(place, task)})
    raise ConfigurationError(
        f"prompt: there is no {task}_{name}.md; known versions are {', '.join(known)}. Others "
        "are read from the folder that MEMSTILL_PROMPTS_DIR names"
    )


def _read(file: Traversable) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = type(error).__name__
        raise ConfigurationError(f"prompt: {file.name} cannot be read ({problem})") from error


def _names(place: Traversable, task: str) -> list[str]:
    if not place.is_dir():
        return []
    names = [file.name for file in place.iterdir()]
    prefix, suffix = f"{task}_", ".md"
    return [
        name.removeprefix(prefix).removesuffix(suffix)
        for name in names
        if name.startswith(prefix) and name.endswith(suffix)
    ]
