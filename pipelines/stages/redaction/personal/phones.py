"""Phone numbers: international ones, national ones of known countries, and what is called one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.stages.redaction.personal.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phonenumbers import PhoneNumber

_GAPS = r"[\d ().\-/\u00a0\u2011]"
_CANDIDATE = re.compile(rf"[+(\d](?<![\w.,/$€£:+-].){_GAPS}{{5,24}}(?<=\d)(?![\w%]|[.,:/-]\d)")
_CALLED = re.compile(
    r"(?:(?:phone|telefon|tel[ée]fono|mobile|mobil|cell|handy|landline|fax|whats ?app|tel|rufnummer"
    r"|portable|m[óo]vil|celular)\w{0,12}|\b(?:call|text|ring|reach|dial|phone)\s(?:me|us|him|her|them)"
    r"|\bmy number)[^\d\n]{0,25}\Z",
    re.IGNORECASE,
)
_BEFORE = 60
_NOT_PHONE = re.compile(
    r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}(?: \d{1,2})?|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d{2}"
    r"|(?:\d{1,3}\.){3}\d{1,3}|(?:19|20)\d{2} ?- ?(?:19|20)\d{2}"
)
_US_LAYOUT = re.compile(r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}")
_GROUPS = re.compile(r"\d{2,4}(?:([ .-])\d{2,4})(?:\1\d{2,4}){1,4}")
_DIGITS = range(7, 16)
# To look a number up takes its time; in a transcript with more, all that can be one is taken.
_MAX_ASKED = 2_000


class PhoneFinder:
    """Finds phone numbers; a number in digits alone is one only where something calls it so."""

    def __init__(self, regions: tuple[str, ...]) -> None:
        self._regions = regions
        self._left = _MAX_ASKED

    def __call__(self, text: str) -> Iterator[Found]:
        """All in one text of a transcript, in their order."""
        for match in _CANDIDATE.finditer(text):
            called = _CALLED.search(text, max(0, match.start() - _BEFORE), match.start())
            for start, end in _readings(match):
                key = self._key(text[start:end], is_called=called is not None)
                if key is not None:
                    yield Found(start, end, key)
                    break

    def _key(self, number: str, *, is_called: bool) -> str | None:
        """The number as the world dials it; None if it is none."""
        digits = "".join(filter(str.isdigit, number))
        if len(digits) not in _DIGITS or _NOT_PHONE.fullmatch(number):
            return None
        self._left -= 1
        if self._left < 0:
            return digits
        return _dialled(number, self._regions) or (digits if is_called else None)


def _readings(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The whole, and what is left without a number before or behind it."""
    start, end = match.span()
    yield start, end
    first, last = match[0].find(" "), match[0].rfind(" ")
    if first > 0:
        yield start + first + 1, end
        yield start, start + last


def _dialled(number: str, regions: tuple[str, ...]) -> str | None:
    import phonenumbers

    is_abroad = number.startswith(("+", "00"))
    dialled = "+" + number[2:] if number.startswith("00") else number
    for region in (None,) if is_abroad else regions:
        parsed = _parse(dialled, region)
        if parsed is not None and _is_likely(parsed, number, region):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    digits = "".join(filter(str.isdigit, number))
    return f"+1{digits[-10:]}" if _US_LAYOUT.fullmatch(number) else None


def _parse(number: str, region: str | None) -> PhoneNumber | None:
    import phonenumbers

    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _is_likely(parsed: PhoneNumber, number: str, region: str | None) -> bool:
    import phonenumbers

    if number.startswith("+"):
        return phonenumbers.is_possible_number(parsed)
    is_written_as_one = (
        region is None
        or number.startswith(("0", "("))
        or _US_LAYOUT.fullmatch(number) is not None
        or (not _has_trunk_zero(region) and _GROUPS.fullmatch(number) is not None)
    )
    return is_written_as_one and phonenumbers.is_valid_number(parsed)


@lru_cache(maxsize=300)
def _has_trunk_zero(region: str) -> bool:
    """Whether numbers inside a country start with a nought."""
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return metadata is None or metadata.national_prefix == "0"
