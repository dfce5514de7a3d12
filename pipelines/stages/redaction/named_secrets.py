"""Secrets that only the words around them give away: "my password is hunter2"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pipelines.stages.redaction.secret_names import (
    NO_SECRETS,
    REFERENCE,
    TRAILING,
    Link,
    Rule,
    find_names,
    is_mixed,
    names_in,
    rule_at,
)
from pipelines.stages.redaction.secret_shapes import lower
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACEHOLDER = re.compile(r"\[redacted:([a-z-]{1,40})\]")


class Named(NamedTuple):
    """A secret found in a text: the span of its value, and its kind."""

    start: int
    end: int
    kind: str


# ---- from a name to its value --------------------------------------------------------------------

_VERB = r"(?:is|was|are|equals|ist|lautet|es|est|é|è)"
_WHOSE = r"(?:\s{1,3}(?:for|of|to|on|at|in)(?:\s{1,3}(?!(?:is|was|are|to)\s)[^\s:=]{1,30}){1,8}?)?"
_HARD = re.compile(
    rf"""["'`*_\\\]\u201d\u2019]{{0,6}}(?:\s?\([^()\n]{{1,40}}\))?{_WHOSE}(?:\s{{1,3}}{_VERB})?
    \s{{0,5}}(?P<sign>:=|=>|->|\u2192|==?|[:\uff1a])[*_]{{0,2}}\s{{0,5}}""",
    re.IGNORECASE | re.VERBOSE,
)
_SOFT = re.compile(
    rf"{_WHOSE}\s{{1,5}}{_VERB}"
    r"(?:\s{1,3}(?:now|still|just|actually|currently|set to)){0,2}\s{1,5}"
    r"|\s?(?:是|为|為|は|는|은)\s?",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"""['\u2019]s\s{1,3}
    |[,?]?\s{1,5}(?:it['\u2019]?s|it\sis|that['\u2019]?s)\s{1,3}
    |(?:\s(?:that|which))?\s(?:i|we|you|he|she|they)(?:\s[a-z']{1,12}){1,3}\s(?:is|was)\s{1,3}
    |(?:\s{0,3}[|,(]|\s{1,3}[-\u2013\u2014])\s{0,3}
    |\s{1,5}(?:(?:(?:has\s|was\s)?(?:been\s)?(?:changed\s|set\s|updated\s|reset\s)?to
       |(?:will|should|is\s(?:going\sto|gonna))\sbe|became)\s{1,5})?""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED = re.compile(
    r"\"((?:[^\"\n\\]|\\[^\n]){1,2000})\"|'((?:[^'\n\\]|\\[^\n]){1,2000})'"
    # In a JSON string inside a JSON string the quotes have backslashes.
    r"|\\\"((?:[^\"\n\\]|\\{3}\"|\\(?!\")){1,2000})\\\"|\\{2,7}\"([^\"\n\\]{1,2000})\\{2,7}\""
    r"|`([^`\n]{1,2000})`|\u201c([^\u201d\n]{1,200})\u201d"
)
_BRACED = re.compile(r"\{([^{}\s]{1,200})\}")
_UNQUOTED = re.compile(r"[^\s\"'<>]\S{0,400}")
# A sign that can also end a value ends it where something like the next setting follows.
_ASSIGNED = re.compile(
    r"[^\s\"'<>;&](?:[^\s\"'<>;&]|[;&](?![\w .-]{0,40}=|\s|\Z)|[\"'>](?=\w)|<(?![/A-Za-z!])){0,400}"
)
_PHRASE = re.compile(r"[^\s.;\n][^.;\n]{0,400}")
_REST = re.compile(r"[^\s\"'<>;&]*+")
_LINKS = ((_HARD, Link.HARD), (_SOFT, Link.SOFT), (_WEAK, Link.WEAK))
_WINDOW = 200
_LONGEST_JUDGED = 400


def find_named(text: str, stems: tuple[str, ...]) -> Iterator[Named]:
    """The values that a name introduces, or follows, in their order and apart.

    Args:
        text: Of one message or field.
        stems: What names of secrets can hold in it (``Clues``).
    """
    position = 0
    for name in find_names(lower(text), stems):
        rule = rule_at(text, name) if name.start() >= position else None
        if rule is None:
            continue
        span = _after(text, name, rule) or _before(text, name.start(), rule)
        if span is not None and span[0] >= position:
            position = span[1]
            yield Named(*span, rule.kind)


def _after(text: str, name: re.Match[str], rule: Rule) -> tuple[int, int] | None:
    for pattern, link in _LINKS:
        found = pattern.match(text, name.end())
        if found is not None:
            # An option of a command is followed by its value.
            is_option = link is Link.WEAK and text.endswith("--", 0, name.start())
            sign = found.groupdict().get("sign")
            firmness = Link.HARD if is_option else link
            span = _secret_at(text, found.end(), rule, sign, firmness)
            if span is not None:
                return span
    return None


def _secret_at(
    text: str, start: int, rule: Rule, sign: str | None, link: Link
) -> tuple[int, int] | None:
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        inner = quoted.span(quoted.lastindex or 0)
        return inner if _is_quoted(text[slice(*inner)], rule, link) else None
    braced = _BRACED.match(text, start) if sign == "=" else None
    if braced is not None and is_mixed(braced[1]):
        return braced.span(1)
    pattern = _PHRASE if rule.kind == "passphrase" else _ASSIGNED if sign == "=" else _UNQUOTED
    found = pattern.match(text, start)
    value = found[0].rstrip(TRAILING) if found else ""
    if found is None or not _is_value(value, rule, link):
        return None
    if found.end() - start <= _LONGEST_JUDGED:
        return start, start + len(value)
    rest = _REST.match(text, found.end())
    return start, rest.end() if rest else found.end()


def _is_quoted(value: str, rule: Rule, link: Link) -> bool:
    if PLACEHOLDER.match(value) or REFERENCE.match(value):
        return False
    if link is Link.WEAK:
        return " " not in value and is_mixed(value) and rule.is_secret(value, link)
    return (rule.is_quoted or rule.is_secret)(value, link)


def _is_value(value: str, rule: Rule, link: Link) -> bool:
    if not value or value.startswith(("[redacted:", "://")):
        return False
    if rule.kind == "passphrase":
        return rule.is_secret(value, link)
    word = value.strip(TRAILING).casefold()
    is_said = word not in NO_SECRETS and not REFERENCE.match(value)
    return is_said and rule.is_secret(value, link)


_OWNERS = word_set("my the our your his her their a")
_LEADING = "\"'`*(\u201c"


def _before(text: str, end: int, rule: Rule) -> tuple[int, int] | None:
    """The value of "X is my password", "use X as the wifi password"."""
    if not text.endswith((" ", "\n"), 0, end):
        return None
    words = text[max(0, end - _WINDOW) : end].split()[-7:]
    for place in range(len(words) - 1, max(1, len(words) - 5), -1):
        if words[place].casefold() in _OWNERS and words[place - 1].casefold() in {
            "is",
            "was",
            "as",
        }:
            value = words[place - 2].strip(TRAILING + _LEADING) if place > 1 else ""
            start = text.rfind(value, max(0, end - _WINDOW), end) if value else -1
            is_secret = start >= 0 and _is_telling(value) and _is_value(value, rule, Link.WEAK)
            return (start, start + len(value)) if is_secret else None
    return None


def _is_telling(value: str) -> bool:
    """Whether a value stands out without a name before it."""
    return value.isdigit() or any(map(str.isalpha, value))


# ---- fields and answers --------------------------------------------------------------------------

_MAX_ANSWER_WORDS = 4
_ENDING = " _-.0123456789"


def rule_of_field(name: str) -> Rule | None:
    """What the value of a field of this name would be, if the name ends with a secret's."""
    plain = name.rstrip(_ENDING)
    found = [name for name in names_in(plain) if name.end() == len(plain)]
    return rule_at(plain, found[-1]) if found else None


def is_secret_field(value: str, rule: Rule) -> bool:
    """Whether the whole value of such a field is a secret."""
    if not value.strip() or value.casefold() in NO_SECRETS:
        return False
    return _is_quoted(value, rule, Link.HARD)


def rule_asked_for(text: str) -> Rule | None:
    """What the answer to a message would be, if its last sentence asks for a secret."""
    end = text[-_WINDOW:].rstrip()
    if not end.endswith(("?", ":", ".", "!")):
        return None
    sentence = re.split(r"[.!?\n]\s", end)[-1]
    is_question = end.endswith(("?", ":")) or _REQUEST.search(sentence)
    found = names_in(sentence) if is_question else []
    return rule_at(sentence, found[-1]) if found else None


_REQUEST = re.compile(
    r"\b(?:enter|provide|send|give|tell|share|type|need|paste|confirm)\b", re.IGNORECASE
)


def find_answer(text: str, rule: Rule) -> Iterator[Named]:
    """The secret in a short answer to a question for it: "sure, hunter2"."""
    words = list(re.finditer(r"\S+", text[: 2 * _WINDOW]))
    if len(text) > 2 * _WINDOW or len(words) > _MAX_ANSWER_WORDS:
        return
    for word in words:
        value = word.group().rstrip(TRAILING)
        stripped = value.lstrip(_LEADING)
        start = word.start() + len(value) - len(stripped)
        if _is_telling(stripped) and _is_value(stripped, rule, Link.WEAK):
            yield Named(start, start + len(stripped), rule.kind)
