"""Personal data: kept, or replaced by stand-ins, as the tenant's policy says."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from config.policy import Handling, PersonalKind
from pipelines.stages.redaction.personal.addresses import find_addresses
from pipelines.stages.redaction.personal.ids import find_ibans, find_national_ids, find_passports
from pipelines.stages.redaction.personal.mails import find_mails
from pipelines.stages.redaction.personal.phones import PhoneFinder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from config.policy import Handlings
    from pipelines.stages.redaction.personal.found import Found

    Finder = Callable[[str], Iterator[Found]]

_NUMBERED = re.compile(
    rf"\[({'|'.join(PersonalKind)})-(\d{{1,6}})\]",
)
# What was replaced can leave something behind that looks like more; hostile nesting ends here.
_MAX_PASSES = 8


class StandIns:
    """The stand-ins of one transcript: the same value gets the same one in all its texts.

    ``counts`` says how many values of each kind were replaced.
    """

    def __init__(
        self, handlings: Handlings, regions: tuple[str, ...], texts: Iterable[str] = ()
    ) -> None:
        """``texts`` are all that will come: a number that already stands in them is not given."""
        self.counts: Counter[str] = Counter()
        self._handlings = handlings
        self._finders = [
            (kind, finder)
            for kind, finder in _finders(regions)
            if handlings.get(kind, Handling.KEEP) is not Handling.KEEP
        ]
        self._known: dict[tuple[PersonalKind, str], str] = {}
        self._given: Counter[str] = Counter()
        if self._finders:
            self._reserve(texts)

    @property
    def has_any(self) -> bool:
        """Whether anything is replaced at all."""
        return bool(self._finders)

    def replace(self, text: str) -> str:
        """The text with stand-ins."""
        for _ in range(_MAX_PASSES):
            before = text
            for kind, finder in self._finders:
                text = self._replace_kind(text, kind, finder)
            if text == before:
                break
        return text

    def replace_field(self, name: str, value: str) -> str:
        """The same for a value that stands under a name, which can say what it is."""
        if not self._finders:
            return value
        introduction = f"{name}: "
        counts = self.counts.copy()
        replaced = self.replace(introduction + value)
        if replaced.startswith(introduction):
            return replaced[len(introduction) :]
        self.counts = counts
        return self.replace(value)

    def _replace_kind(self, text: str, kind: PersonalKind, finder: Finder) -> str:
        kept: list[str] = []
        position = 0
        for found in sorted(finder(text), key=lambda item: (item.start, -item.end)):
            if found.start >= position:
                kept += [text[position : found.start], self._stand_in(kind, found.key)]
                position = found.end
        return "".join(kept) + text[position:]

    def _stand_in(self, kind: PersonalKind, key: str) -> str:
        self.counts[kind.value] += 1
        if self._handlings[kind] is Handling.DROP:
            return f"[{kind}]"
        if (kind, key) not in self._known:
            self._given[kind] += 1
            self._known[kind, key] = f"[{kind}-{self._given[kind]}]"
        return self._known[kind, key]

    def _reserve(self, texts: Iterable[str]) -> None:
        for text in texts:
            for kind, number in _NUMBERED.findall(text):
                self._given[kind] = max(self._given[kind], int(number))


def _finders(regions: tuple[str, ...]) -> tuple[tuple[PersonalKind, Finder], ...]:
    """In an order in which no finder takes a part of what a later one would take whole."""
    return (
        (PersonalKind.EMAIL, find_mails),
        (PersonalKind.IBAN, find_ibans),
        (PersonalKind.PASSPORT, find_passports),
        (PersonalKind.NATIONAL_ID, find_national_ids),
        (PersonalKind.ADDRESS, find_addresses),
        (PersonalKind.PHONE, PhoneFinder(regions)),
    )
