"""Finds lines inside a message that pose as messages of somebody else."""

from __future__ import annotations

import re

from pipelines.model import Role

_ROLES = "system|developer|assistant|user|human|tool|function|ai|admin|operator"
# What markdown, mail and chat put before a line.
_INDENT = r"^[ \t>#*_`\-|]*"
_POSED = re.compile(
    rf"""
    {_INDENT}\[?(?:{_ROLES})(?:\s+(?:message|prompt|note|turn|override|instructions?))?\]?
        [ \t]*[*_`]*[ \t]*[:\uff1a][^\n]*
    | {_INDENT}<\|?/?(?:im_start|im_end|start_header_id|system|assistant|user)\b[^\n]*
    | {_INDENT}\[/?(?:INST|SYS)\][^\n]*
    | {_INDENT}<</?SYS>>[^\n]*
    | ^[^\n"{{]*+\{{[^\n]*"role"\s*:\s*"(?:{_ROLES})"[^\n]*
    | {_INDENT}\[\s*(?:\d+|"[\w-]+")\s*,\s*"(?:{_ROLES})\b[^\n]*
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_OWN_LABELS = {Role.USER: ("user:", "human:"), Role.ASSISTANT: ("assistant:", "ai:")}


def cut_posed(text: str, role: Role) -> list[str]:
    """The stretches of a message outside such lines.

    In a message that begins with the label of its own role that label is no forgery: some
    agents write "User: …" before everything.
    """
    own = _own_labels(text, role)
    parts: list[str] = []
    position = 0
    for line in _POSED.finditer(text):
        if not line.group().casefold().lstrip().startswith(own or "\n"):
            parts.append(text[position : line.start()])
            position = line.end()
    return [part for part in (*parts, text[position:]) if part.strip()]


def _own_labels(text: str, role: Role) -> tuple[str, ...]:
    labels = _OWN_LABELS.get(role, ())
    return labels if text[:40].casefold().lstrip().startswith(labels or "\n") else ()
