"""Files that are imported: read as what their names say, within bounds, and never run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
MAX_BYTES = {"json": 256 * MIB, "yaml": 32 * MIB, "md": 4 * MIB}
MAX_DEPTH = 32
MARKDOWN = "MEMORY.md"
_FORMS = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".md": "md"}


def find_file(path: Path) -> tuple[Path, str]:
    """The file to import, and its form; of a folder its ``MEMORY.md``.

    Raises:
        InputError: It is nothing that can be imported.
    """
    file = path / MARKDOWN if path.is_dir() else path
    form = _FORMS.get(file.suffix.casefold())
    if form is None:
        raise InputError(
            file.name,
            "is no .json, .yaml or .md; lines (.jsonl) hold no sessions: export with --format json",
        )
    return file, form


def read_text(file: Path, form: str) -> str:
    """What it holds.

    Raises:
        InputError: It is too large, or no text.
    """
    limit = MAX_BYTES[form]
    with file.open("rb") as source:
        raw = source.read(limit + 1)
    if len(raw) > limit:
        raise InputError(
            file.name, f"is larger than {limit // MIB} MiB: export one user at a time with --user"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file.name}:{line}", "is no UTF-8; save it as UTF-8") from None


def parse_json(text: str, name: str) -> Any:  # noqa: ANN401 - JSON
    """The value of a JSON file.

    Raises:
        InputError: It is none; the line is named.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}:{error.lineno}", f"is no JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        reason = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InputError(name, f"{reason}; export it again") from None


def parse_yaml(text: str, name: str) -> Any:  # noqa: ANN401 - YAML
    """The value of a YAML file: plain values, no tags of Python, no aliases.

    Raises:
        InputError: It is none, or holds what could grow when it is read; the line is named.
    """
    try:
        _check_events(text, name)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - safe, and its aliases are refused
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise InputError(f"{name}:{line}", f"is no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(name, f"is no YAML: {type(error).__name__}") from None


class _Loader(yaml.CSafeLoader):
    """Times stay text: what they mean is checked with everything else."""


_Loader.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for sign, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _check_events(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = 0 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(
                f"{name}:{line}", "has an anchor or an alias (& or *): write the value out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(f"{name}:{line}", f"is nested deeper than {MAX_DEPTH} levels")


def dump_yaml(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The value as YAML, in pieces; whatever looks like something else is quoted."""
    yield yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        width=100,
        default_flow_style=False,
    )


class _Dumper(yaml.CSafeDumper):
    """Writes each value out, however often it stands there."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is no JSON")
