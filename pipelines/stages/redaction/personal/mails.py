"""Mail addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.redaction.personal.found import Found
from pipelines.stages.redaction.secret_shapes import find_all, lower

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNS = ("@", "(at)", "[at]")
_MAX_LOCAL = 64
_LOCAL = re.compile(r"(?:^|(?<![\w.+%'-]))[\w.+%'-]{1,64} {0,1}\Z")
_DOMAIN = re.compile(
    r"(?:@|[(\[]at[)\]] ?)((?:[\w-]{1,63}(?:\.| ?[(\[]dot[)\]] ?)){1,8}[^\W\d_]{2,24})(?![\w-])",
    re.IGNORECASE,
)
_DOT = re.compile(r" ?[(\[]dot[)\]] ?", re.IGNORECASE)


def find_mails(text: str) -> Iterator[Found]:
    """Mail addresses, also with the sign and the dot in words: "alice (at) example (dot) com"."""
    position = 0
    for place in find_all(lower(text), _SIGNS):
        before = text[max(position, place - _MAX_LOCAL) : place]
        local = _LOCAL.search(before)
        domain = _DOMAIN.match(text, place)
        if local is None or domain is None or _is_remote(local[0], text, domain.end()):
            continue
        name = local[0].strip(" .'")
        start = place - len(local[0].lstrip(".'"))
        position = domain.end()
        host = _DOT.sub(".", domain[1])
        yield Found(start, position, f"{name}@{host}".casefold())


def _is_remote(local: str, text: str, end: int) -> bool:
    """The address of a repository: git@host:path."""
    return local == "git" or (text.startswith(":", end) and text[end + 1 : end + 2] in {"~", "/"})
