"""What the cited messages testify of a statement, and the first thing that speaks against it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.model import Role
from pipelines.stages.dates import mask_known_dates
from pipelines.stages.dedup.reading import canonical, canonicals
from pipelines.stages.grounding import contrary, roles
from pipelines.stages.grounding.clauses import PEOPLE, Clause, Polarity, read_clauses
from pipelines.stages.grounding.entailed import is_entailed
from pipelines.stages.grounding.refusal import RefusalReason
from pipelines.stages.grounding.support import (
    Support,
    coverage,
    has_substance,
    is_strange_opening,
    name_words,
    read_support,
    split_words,
    unsupported_names,
    unsupported_numbers,
)
from pipelines.stages.redaction.placeholders import PLACEHOLDER
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from config.policy import GroundPolicy
    from pipelines.model import Draft
    from pipelines.stages.dates import DateMention
    from pipelines.stages.grounding.cited import Cited

_OWNER = frozenset({"user", "the user"})
_OWNER_WORDS = frozenset({"user", "users", "the"})
_LONG_WORD = re.compile(r"[^\W\d_]{3,}(?:'s)?")
_SECRET_WORDS = word_set(
    """
    password passwords passphrase passcode pin pwd api key keys token tokens secret secrets card
    credit number credentials login connection string access private bearer jwt url account user
    the and for are was has have with that this use uses used new old current your our its his her
    their called set changed now from says said which code wifi here there try test can you
    email mail address phone mobile cell telephone passport iban bank national identity social
    security tax
    """
)
_ADDRESSED = re.compile(r"\b(?:you(?:r|rs|rself)?|thanks?|congrat\w*)\b", re.IGNORECASE)
_PARENTHESES = re.compile(r"\s?\((?P<inside>[^()]*)\)")
_YES = re.compile(
    r"\W*(?:yes|yeah|yep|sure|exactly|correct|right|ja|s\u00ed|oui|da)\b", re.IGNORECASE
)
_NO = re.compile(r"\W*(?:no|nope|nah|not|never|neither|nein|non)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Testimony:
    """The messages that a draft may rest on, as far as its statement is held to them.

    Attributes:
        quoted: The message whose quote was found; ``found`` is the quote as it stands there.
        others: The further messages that may support the statement, in the order cited.
        before: The user messages before the quoted one, the latest first.
        everybody: The words of the names of all who take part in the conversation.
        dates: The days that the cited messages mean or may mean.
    """

    draft: Draft
    quoted: Cited
    found: str
    others: tuple[Cited, ...]
    before: tuple[Cited, ...]
    everybody: frozenset[str]
    dates: Sequence[DateMention]
    policy: GroundPolicy

    def refuse(self) -> RefusalReason | None:
        """The first reason that speaks against the draft."""
        return next((reason for reason, is_so in self._checks() if is_so()), None)

    @cached_property
    def antecedents(self) -> tuple[Cited, ...]:
        """Earlier messages of users that say who or what the quote only refers to."""
        missing = self._missing(self._told)
        if not missing:
            return ()
        found: list[Cited] = []
        for item in self.before:
            if missing & item.support.words:
                found.append(item)
                missing -= item.support.words
        return tuple(found) if not missing else ()

    @cached_property
    def passage(self) -> str:
        """The sentences of the quote."""
        return self.quoted.passage(self.found)

    # ---- what is said -----------------------------------------------------------------------

    @cached_property
    def _answered(self) -> tuple[Cited, ...]:
        """The assistant's messages whose questions the quoted one answers."""
        if self.quoted.message.role is not Role.USER:
            return ()
        return tuple(item for item in self.others if item.message.role is Role.ASSISTANT)

    @cached_property
    def _told(self) -> Support:
        """What the cited messages say, the names of who is there included."""
        support = self.quoted.support | Support(words=self.everybody)
        for item in self.others:
            support |= item.asked if item in self._answered else item.support
        return support

    @cached_property
    def _support(self) -> Support:
        support = self._told
        for item in self.antecedents:
            support |= item.support
        return support

    @cached_property
    def _statement(self) -> str:
        """Without a speaker before it: ``Name: what was said``."""
        name, colon, said = self.draft.statement.partition(": ")
        is_speaker = bool(colon) and name.strip().casefold() in self._speakers
        return said if is_speaker else self.draft.statement

    @cached_property
    def _speakers(self) -> frozenset[str]:
        return frozenset(item.speaker.casefold() for item in (self.quoted, *self.others))

    @cached_property
    def _speaker_words(self) -> frozenset[str]:
        return split_words(self.quoted.message.name or "")

    @cached_property
    def _stated(self) -> tuple[Clause, ...]:
        return read_clauses(self._statement)

    @cached_property
    def _quoted_clauses(self) -> tuple[Clause, ...]:
        """The clauses of the quote's sentences, and of the question that they answer."""
        answer = Polarity.OPEN
        if _NO.match(self.passage):
            answer = Polarity.DENIED
        elif _YES.match(self.passage):
            answer = Polarity.AFFIRMED
        asked = " ".join(question for item in self._answered for question in item.questions)
        questions = (replace(clause, polarity=answer) for clause in read_clauses(asked))
        return (*read_clauses(self.passage), *questions)

    @cached_property
    def _is_verbatim(self) -> bool:
        """Whether the statement is the quote's sentences, word for word, but for dates put in."""
        stated = _PARENTHESES.sub(self._without_known_date, self._statement)
        return _bare(stated) == _bare(self.passage)

    def _without_known_date(self, parentheses: re.Match[str]) -> str:
        is_known = not mask_known_dates(parentheses["inside"], self.dates).strip()
        return "" if is_known else parentheses.group()

    # ---- the checks -------------------------------------------------------------------------

    def _checks(self) -> tuple[tuple[RefusalReason, Callable[[], bool]], ...]:
        return (
            (RefusalReason.SECRET, self._is_secret),
            (RefusalReason.FOREIGN_SUBJECT, self._is_about_a_stranger),
            (RefusalReason.UNSUPPORTED_NUMBER, self._invents_number),
            (RefusalReason.UNSUPPORTED_NAME, self._invents_name),
            (RefusalReason.THIN_QUOTE, self._is_thin),
            *(() if self._is_verbatim else self._checks_of_wording()),
            (RefusalReason.UNSUPPORTED_VALUE, self._invents_value),
        )

    def _checks_of_wording(self) -> tuple[tuple[RefusalReason, Callable[[], bool]], ...]:
        """What only a statement in other words than its quote can do."""
        return (
            (RefusalReason.OTHER_SUBJECT, self._is_of_another),
            (RefusalReason.CONTRADICTED, self._is_contradicted),
            (RefusalReason.UNSUPPORTED_CONTENT, self._says_something_else),
        )

    def _is_secret(self) -> bool:
        """Whether nothing but what was taken out is stated, or it would be a value.

        A stand-in means somebody else in the next transcript.
        """
        if PLACEHOLDER.search(self.draft.value or ""):
            return True
        if not PLACEHOLDER.search(self.draft.statement):
            return False
        rest = PLACEHOLDER.sub(" ", self.draft.statement).casefold()
        words = {word.removesuffix("'s") for word in _LONG_WORD.findall(rest)}
        return len(words - _SECRET_WORDS - split_words(" ".join(self._speakers))) <= 1

    def _is_about_a_stranger(self) -> bool:
        plain = self.draft.subject.strip().casefold()
        if plain in _OWNER or plain in self._speakers:
            return False
        words = self._subject_words
        return not words or not words <= self._addressed(self._support.words)

    @property
    def _subject_words(self) -> frozenset[str]:
        """What the subject is called, beside whose it is: "User's sister Mia" is Mia."""
        words = split_words(self.draft.subject) - _OWNER_WORDS
        return words - PEOPLE or words

    def _addressed(self, words: frozenset[str]) -> frozenset[str]:
        """Words without the names of those who are there but neither speak nor are spoken to."""
        texts = " ".join((self.passage, *(part for item in self.others for part in item.parts)))
        if _ADDRESSED.search(texts):
            return words
        silent = self.everybody - split_words(" ".join(self._speakers))
        said = frozenset().union(*(item.support.words for item in (self.quoted, *self.others)))
        return words - (silent - said)

    def _missing(self, support: Support) -> set[str]:
        """Names of statement, value and subject that nobody of the cited says."""
        names = set().union(*(unsupported_names(text, support) for text in self._masked))
        missing = {part for name in names for part in split_words(name)}
        plain = self.draft.subject.strip().casefold()
        if plain not in _OWNER | self._speakers:
            missing |= self._subject_words - support.words
        return missing

    @cached_property
    def _masked(self) -> tuple[str, ...]:
        """Statement and value without the dates that are borne out."""
        texts = (self._statement, f"is {self.draft.value or ''}")
        return tuple(mask_known_dates(text, self.dates) for text in texts)

    @property
    def _held(self) -> tuple[str, ...]:
        """What numbers and names are looked for in; those of a quote stand in its message."""
        return self._masked[1:] if self._is_verbatim else self._masked

    def _invents_number(self) -> bool:
        return any(unsupported_numbers(text, self._support) for text in self._held)

    def _invents_name(self) -> bool:
        if any(unsupported_names(text, self._support) for text in self._held):
            return True
        if self._is_verbatim:
            return False
        return self.quoted.is_english and is_strange_opening(self._statement, self._support)

    def _is_thin(self) -> bool:
        """Whether the quote has no word of substance and is no answer to a cited question."""
        if has_substance(self.found) or not self.quoted.is_english:
            return False
        is_whole = self.found.strip(" .!\"'") == self.passage.strip(" .!\"'")
        return not (is_whole and self._answered)

    def _is_of_another(self) -> bool:
        if self.quoted.message.role is not Role.USER:
            return False
        speakers = self._speaker_words
        names = (self._names | self.everybody) - speakers
        return (
            self._gives_to_another_participant()
            or roles.takes_over(self._statement, speakers, self._quoted_clauses)
            or roles.swaps_roles(self._stated, self._quoted_clauses, speakers, names)
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        """The names in statement and quote."""
        return name_words(self._statement) | name_words(self.passage)

    def _gives_to_another_participant(self) -> bool:
        """Whether it says of a participant what another one does not say of them.

        What comes nearest to the statement must be said to them or name them.
        """
        first = split_words(self._statement.partition(" ")[0])
        if not first or not first <= self.everybody - self._speaker_words:
            return False
        nearest = roles.closest(self._stated, self._quoted_clauses, self.everybody)
        return not any(
            clause.is_addressed or not first.isdisjoint(clause.said) for clause in nearest
        )

    def _is_contradicted(self) -> bool:
        names = frozenset(map(canonical, self._names)) - canonicals(self.everybody)
        stated, quoted = self._stated, self._quoted_clauses
        value = self.draft.value or ""
        return (
            contrary.denies_otherwise(stated, quoted)
            or contrary.takes_other_side(stated, quoted)
            or contrary.is_outdated(stated, quoted)
            or contrary.misattributes(stated, quoted, names)
            or contrary.turns_direction(self._statement, self.passage)
            or contrary.miscounts(self._statement, self.passage)
            or contrary.names_other_relation(self._statement, self._cited_text)
            or (
                not self.draft.ends
                and contrary.is_left_behind(value, self._statement, self.passage)
            )
        )

    @cached_property
    def _cited_text(self) -> str:
        items = (self.quoted, *self.others, *self.antecedents)
        return "\n".join(part[:4000] for item in items for part in item.parts)

    def _says_something_else(self) -> bool:
        if not self._is_comparable:
            return False
        known = self.everybody
        near = self._support
        for item in self.before[: self.policy.near_messages]:
            near |= item.support
        near_coverage = coverage(self._statement, near, known)
        if not self._answered and not self._shares_anything(known):
            return near_coverage < self.policy.min_unshared_coverage
        if coverage(self._statement, self._support, known) >= self.policy.min_coverage:
            return False
        return near_coverage < self.policy.min_near_coverage

    def _shares_anything(self, known: frozenset[str]) -> bool:
        """Whether statement and quoted sentences have any word of substance or number in common."""
        said = self._said
        if said.numbers and not unsupported_numbers(self._statement, said):
            return True
        return coverage(self._statement, said, known) > 0

    @cached_property
    def _said(self) -> Support:
        """What the sentences of the quote say."""
        return read_support(self.passage)

    @cached_property
    def _is_comparable(self) -> bool:
        """Whether statement and messages are in one language."""
        return self.quoted.is_english or coverage(self._statement, self._support) > 0

    def _invents_value(self) -> bool:
        value = self.draft.value or ""
        if not value or not self.quoted.is_english or self.draft.ends:
            return False
        if coverage(value, self._support) >= self.policy.min_value_coverage:
            return False
        return not is_entailed(value, self._support.words)


def _bare(text: str) -> str:
    return " ".join(text.split()).rstrip(" .!?\u2026")
