"""Takes secrets out of a text before anything else sees it.

``redact`` runs in linear time and is idempotent: a placeholder matches nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.stages.redaction.clues import ALL
from pipelines.stages.redaction.named_secrets import (
    Named,
    find_answer,
    find_named,
    is_secret_field,
    rule_of_field,
)
from pipelines.stages.redaction.secret_shapes import SHAPES, lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipelines.stages.redaction.clues import Clues
    from pipelines.stages.redaction.secret_names import Rule
    from pipelines.stages.redaction.secret_shapes import Start


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets.

    Attributes:
        counts: How many secrets of each kind were taken out.
        taken: Those that can be known again wherever they stand, with their kinds.
    """

    text: str
    counts: dict[str, int] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict, repr=False)


def redact(text: str, asked_for: Rule | None = None, clues: Clues = ALL) -> Redacted:
    """Replace each secret with ``[redacted:<kind>]``.

    Args:
        text: Of one message or field.
        asked_for: What the message before it asked for, if it asked for a secret.
        clues: All that can give a secret away in this text (``find_clues``).
    """
    redaction = _Redaction()
    if asked_for is not None:
        text = redaction.replace_named(text, find_answer(text, asked_for))
    for _ in range(_MAX_PASSES if len(text) >= _SHORTEST else 0):
        before = text
        text = redaction.run(text, clues)
        if text == before:
            break
    return Redacted(text, redaction.counts, redaction.taken)


_SHORTEST = len("pw=abc")
# A value that was taken out can leave a new context behind ("password: password: x"), so passes
# repeat until nothing changes; hostile nesting ends here.
_MAX_PASSES = 8


def redact_field(name: str, value: str) -> Redacted:
    """Redact a value that stands under a name: ``{"password": "hunter2"}``."""
    rule = rule_of_field(name)
    if rule is None or not is_secret_field(value, rule):
        return redact(value)
    taken = {value: rule.kind} if _is_distinct(value) else {}
    return Redacted(f"[redacted:{rule.kind}]", {rule.kind: 1}, taken)


def redact_id(text: str, clues: Clues = ALL) -> Redacted:
    """Redact only what its own form gives away: an id is a name, numbers in it are no cards.

    With blanks in it, it can say anything.
    """
    if len(text) < _SHORTEST:
        return Redacted(text)
    if any(map(str.isspace, text)):
        return redact(text, clues=clues)
    redaction = _Redaction()
    return Redacted(redaction.replace_shapes(text, clues.starts), redaction.counts, redaction.taken)


def redact_repeated(text: str, taken: Mapping[str, str]) -> Redacted:
    """Replace secrets that were taken out elsewhere, and stand here without any context."""
    counts: dict[str, int] = {}
    for value, kind in taken.items():
        if value in text:
            # What stands before the value is looked at last: the value itself is found quickly.
            whole = rf"{re.escape(value)}(?<!\w{re.escape(value)})(?!\w)"
            text, found = re.subn(whole, f"[redacted:{kind}]", text)
            if found:
                counts[kind] = counts.get(kind, 0) + found
    return Redacted(text, counts)


class _Redaction:
    """What the passes over one text share."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.taken: dict[str, str] = {}

    def run(self, text: str, clues: Clues) -> str:
        text = self.replace_shapes(text, self._all_of(clues).starts)
        text = self.replace_named(text, find_named(text, self._all_of(clues).stems))
        return self.replace_cards(text)

    def _all_of(self, clues: Clues) -> Clues:
        """What was put in can hold others than the text did."""
        return ALL if self.counts else clues

    def replace_shapes(self, text: str, starts: Sequence[Start]) -> str:
        lowered = lower(text)
        for place in sorted({start.place for start in starts if start.letters in lowered}):
            shape = SHAPES[place]
            found = [
                Named(match.end(1), match.end(), shape.kind) for match in shape.find(text, lowered)
            ]
            if found:
                text = self.replace_named(text, found)
                lowered = lower(text)
        return text

    def replace_named(self, text: str, found: Iterable[Named]) -> str:
        kept: list[str] = []
        position = 0
        for start, end, kind in found:
            self._take(text[start:end], kind)
            kept += [text[position:start], f"[redacted:{kind}]"]
            position = end
        return "".join(kept) + text[position:]

    def replace_cards(self, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            found = match.group()
            for number in (found, found[:_FOUR_GROUPS]):
                if _is_card(number):
                    self._take(number, "card-number")
                    return "[redacted:card-number]" + found[len(number) :]
            return found

        return _CARD_RUN.sub(replace, _CARD_LAYOUT.sub(replace, text))

    def _take(self, value: str, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if _is_distinct(value):
            self.taken[value] = kind


_DISTINCT_CHARS = range(5, 401)


def _is_distinct(value: str) -> bool:
    """Whether a value is no word or number that somebody else may say."""
    has_sign = any(not sign.isalpha() for sign in value.strip())
    has_letter = any(map(str.isalpha, value))
    return len(value) in _DISTINCT_CHARS and has_sign and has_letter


# ---- card numbers --------------------------------------------------------------------------------

# Looks back from behind the first digit: patterns that start with a digit are found quickly.
_FIRST = r"\d(?:(?<![\w+]\d)|(?<=\\[nrt]\d))(?<!\w-\d)(?<!\d\.\d)"
_AFTER = r"(?![\w])(?!-\w)(?!\.\d)"
_GAP = r"[ \u00a0-]"
_WIDE_GAP = r"(?:[ \u00a0]{1,2}|[._/\u2010-\u2014-])"
_CARD_LAYOUT = re.compile(
    rf"{_FIRST}(?:\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}"
    rf"|\d{{3}}(?:{_GAP}\d{{4}}){{3}}(?:{_GAP}\d{{3}})?|\d{{3}}(?:{_WIDE_GAP}\d{{4}}){{3}}"
    rf"|\d{{12,18}}){_AFTER}"
)
_CARD_RUN = re.compile(rf"{_FIRST}(?<!\d{_GAP}\d)(?:{_GAP}?\d){{12,18}}(?!{_GAP}?\d){_AFTER}")
_MASTERCARD_2 = range(2221, 2721)
_FOUR_GROUPS = len("0000 0000 0000 0000")


def _is_card(number: str) -> bool:
    """Whether an issuer gives out such numbers and the check digit (Luhn) is right."""
    digits = "".join(filter(str.isdigit, number))
    return len(digits) in _issued_lengths(digits) and _luhn(digits) == 0


def _issued_lengths(digits: str) -> range | tuple[int, ...]:
    if digits[0] == "4":
        return (13, 16, 19)
    if digits[0] == "3":
        return range(14, 20)
    if digits[0] == "5" or (digits[0] == "2" and int(digits[:4]) in _MASTERCARD_2):
        return (16,)
    return range(16, 20) if digits[0] == "6" else ()


def _luhn(digits: str) -> int:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10
