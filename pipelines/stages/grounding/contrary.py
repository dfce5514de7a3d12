"""Whether a statement turns round what its quote says: denial, direction, sides, counts, roles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.normalise import tokens
from pipelines.stages.dedup.quantities import read_figures
from pipelines.stages.dedup.reading import canonical
from pipelines.stages.grounding.clauses import Clause, Polarity
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.stages.dedup.quantities import Quantity

Clauses = tuple[Clause, ...]
Sides = tuple[frozenset[str], ...]

# Words that deny without being a denial: a statement with one is not held to its missing "not".
_NEGATIVE = word_set(
    """
    instead rather without only except however although though but despite problem problems
    difficult difficulty hard struggle struggles struggled trouble conflict bad badly poor poorly
    worse worst sad unfortunately issue issues impossible lose loses lost loss allergy allergic
    intolerant few little less fewer former formerly previous previously ex used until before
    forbid forbids forbidden decline declines declined reject rejects rejected miss misses missed
    missing left leave leaves quit ended ends wrong absent too limit limits limited reluctant
    skeptical doubt doubts doubtful afraid fear fears nervous worry worries worried rarely seldom
    dropped drops skip skips skipped away cancel cancelled yet open willing interested curious
    considering
    considers blind deaf mute
    """
)
_NEGATIVE_BEGINNINGS = re.compile(r"un(?!der|i|til|cle)|dis(?!c|h|t)|non|imposs|irreg|misund|mistr")
_FLUENT = (
    word_set("poor bad weak broken rusty"), word_set("fluent good excellent perfect native great")
)  # fmt: skip
_TURNING = word_set("start enable allow accept open increase buy lend win arrive add push send")
# Words that stand against each other, and in canonical form all of them.
_SIDES = {
    sides: frozenset(canonical(word) for side in sides for word in side)
    for sides in (
        _FLUENT,
        *(sides for sides in lexicon.OPPOSITES if any(side & _TURNING for side in sides)),
    )
}
_PROFESSIONS = tuple(
    map(
        word_set,
        (
            "doctor physician surgeon", "trainer coach", "teacher tutor instructor professor",
            "boss manager supervisor lead", "landlord landlady owner", "neighbour neighbor",
            "roommate flatmate housemate", "therapist psychologist", "lawyer attorney",
            "dentist", "tenant tenants", "colleague coworker teammate",
        ),
    )
)  # fmt: skip
_KIN = next(sides for sides in lexicon.OPPOSITES if any("mother" in part for part in sides))
_PLAINLY_AFFIRMED = 3
# What they are said of does not go on, though nothing is denied.
_ENDING = word_set("switch switched swapped sold replaced moved gave finished stopped over done")
_AWAY = frozenset({"from"})
_LESS = frozenset({"than", "over"})
_COMPARING = word_set("prefer prefers preferred rather better more instead like likes loves love")
_TOWARDS = frozenset({"to", "into", "onto", "towards", "toward"})
_FORMER = frozenset({"old", "former", "formerly", "previous", "previously", "ex", "used"})
_PAST = frozenset({"was", "were", "had", "did", "used"})
_PRESENT = frozenset({"is", "are", "am", "has", "have", "does", "do"})


def denies_otherwise(stated: Clauses, quoted: Clauses) -> bool:
    """Whether one of the two denies what the other affirms."""
    if any(clause.is_denied for clause in stated):
        return _denies_what_is_affirmed(stated, quoted)
    return not _sounds_negative(stated) and _affirms_what_is_denied(stated, quoted)


def _affirms_what_is_denied(stated: Clauses, quoted: Clauses) -> bool:
    denied, affirmed = _told(quoted, {word for clause in stated for word in clause.words})
    heads = {clause.head for clause in quoted if clause.is_denied}
    lacking = {clause.lacks for clause in quoted}
    if denied & lacking or (denied and not affirmed):
        return True
    return bool(denied & heads) and len(affirmed) <= len(denied)


def _told(quoted: Clauses, words: set[str]) -> tuple[set[str], set[str]]:
    """Those of the words that the quote only denies, and those that it only affirms."""
    shared = _statuses(quoted, words)
    return (
        {word for word, ways in shared.items() if ways == {Polarity.DENIED}},
        {word for word, ways in shared.items() if ways == {Polarity.AFFIRMED}},
    )


def _denies_what_is_affirmed(stated: Clauses, quoted: Clauses) -> bool:
    denying = [clause for clause in stated if clause.is_denied]
    words = {word for clause in denying for word in clause.words}
    denied, affirmed = _told(quoted, words)
    if not affirmed or denied:
        return False
    if {clause.head for clause in denying} & _statuses(quoted, words).keys():
        return True
    if len(affirmed) >= _PLAINLY_AFFIRMED:
        return True
    if any(clause.is_denied or _ENDING & set(clause.said) for clause in quoted):
        return False
    return not _sounds_negative(quoted)


def _statuses(clauses: Clauses, words: set[str]) -> dict[str, set[Polarity]]:
    """In which polarities each of the words is said; what is only asked or supposed is left out."""
    found: dict[str, set[Polarity]] = {}
    for clause in clauses:
        if clause.polarity is not Polarity.OPEN:
            for word in words.intersection(clause.words):
                found.setdefault(word, set()).add(clause.polarity)
    return found


def _sounds_negative(clauses: Clauses) -> bool:
    said = {word for clause in clauses for word in clause.said}
    if said & (_NEGATIVE | lexicon.NEGATORS - {"against"}):
        return True
    return any(_NEGATIVE_BEGINNINGS.match(word) or word.endswith("less") for word in said)


def turns_direction(stated: str, quoted: str) -> bool:
    """Whether what is left and what is reached, or preferred and put behind, change places."""
    said, heard = tokens(stated), tokens(quoted)
    away, towards = _bound(said, _AWAY), _bound(said, _TOWARDS)
    heard_away, heard_towards = _bound(heard, _AWAY), _bound(heard, _TOWARDS)
    has_both = bool(heard_away) and bool(heard_towards)
    if has_both and (towards & heard_away - heard_towards or away & heard_towards - heard_away):
        return True
    less, heard_less = _bound(said, _LESS), _bound(heard, _LESS)
    is_apart = bool(less) and bool(heard_less) and not less & heard_less
    return is_apart and heard_less <= _canonical(said) and less <= _canonical(heard)


def _bound(words: Sequence[str], relations: frozenset[str]) -> set[str]:
    """The word of substance that each of the relations leads to."""
    lowered = ["than" if pair == ("instead", "of") else pair[1] for pair in _pairs(words)]
    found: set[str] = set()
    if relations is _LESS and not _COMPARING & set(lowered):
        return found
    for at, word in enumerate(lowered):
        if word in relations and lowered[at - 1] != "other":
            following = (other for other in lowered[at + 1 : at + 4] if _is_bound(other))
            found.update(canonical(other) for other in list(following)[:1])
    return found


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    lowered = [word.lower() for word in words]
    return list(zip(["", *lowered], lowered, strict=False))


def _is_bound(word: str) -> bool:
    return word not in lexicon.FUNCTION_WORDS and word not in lexicon.MONTHS


def _canonical(words: Iterable[str]) -> set[str]:
    return {canonical(word.lower()) for word in words}


def takes_other_side(stated: Clauses, quoted: Clauses) -> bool:
    """Whether one says bought and the other sold, of the same thing."""
    heard = tuple(clause for clause in quoted if clause.polarity is Polarity.AFFIRMED)
    said = [clause for clause in stated if clause.polarity is Polarity.AFFIRMED]
    return any(
        _opposed(clause, heard, sides)
        for sides, words in _SIDES.items()
        for clause in said
        if not words.isdisjoint(clause.words)
    )


def _opposed(clause: Clause, quoted: Clauses, sides: Sides) -> bool:
    own = _sides(clause.said, sides)
    things = set(clause.words) - _SIDES[sides]
    heard = [_sides(other.said, sides) for other in quoted if things.intersection(other.words)]
    met = set().union(*heard)
    return bool(own) and bool(met) and not own & met


def _sides(said: Iterable[str], sides: Sequence[frozenset[str]]) -> set[int]:
    words = set(said)
    return {number for number, side in enumerate(sides) if side & words}


def names_other_relation(stated: str, cited: str) -> bool:
    """Whether it speaks of a brother, or a doctor, where the messages have a husband, a trainer."""
    said, heard = _lowered(stated), _lowered(cited)
    return any(_differ(_sides(said, sides), _sides(heard, sides)) for sides in (_KIN, _PROFESSIONS))


def _differ(own: set[int], heard: set[int]) -> bool:
    return bool(own) and bool(heard) and not own & heard


def _lowered(text: str) -> set[str]:
    return {word.lower() for word in tokens(text)}


def miscounts(stated: str, quoted: str) -> bool:
    """Whether a number is said of another thing, or in another unit, than in the quote."""
    heard = read_figures(tokens(quoted)).quantities
    known = _canonical(tokens(quoted))
    return any(
        _is_miscounted(quantity, heard, known)
        for quantity in read_figures(tokens(stated)).quantities
    )


def _is_miscounted(quantity: Quantity, heard: frozenset[Quantity], known: set[str]) -> bool:
    same = [other for other in heard if other.digits == quantity.digits]
    if not same or any(other.size == quantity.size for other in heard if quantity.unit):
        return False
    if quantity.unit:
        return all(other.unit for other in same)
    if not quantity.measure or any(other.measure in {quantity.measure, ""} for other in same):
        return False
    measured = canonical(quantity.measure)
    return measured in known and all(not other.unit for other in same)


def misattributes(stated: Clauses, quoted: Clauses, names: frozenset[str]) -> bool:
    """Whether a name or number is put where the quote puts another one.

    Args:
        stated: The clauses of the statement.
        quoted: Those of the quote's sentences.
        names: Which of their words are names, in canonical form.
    """
    return any(
        _is_misplaced(word, clause, stated, quoted, names)
        for clause in stated
        for word in clause.words
        if _is_marked(word, names)
    )


def _is_marked(word: str, names: frozenset[str]) -> bool:
    return word in names or word[0].isdigit()


def _is_misplaced(
    word: str, clause: Clause, stated: Clauses, quoted: Clauses, names: frozenset[str]
) -> bool:
    own = _unmarked(clause, names)
    places = [heard for heard in quoted if word in heard.words]
    if not places or any(own & _unmarked(heard, names) for heard in places):
        return False
    rivals = {
        rival
        for heard in quoted
        if own & _unmarked(heard, names)
        for rival in set(heard.words) - set(clause.words)
        if _is_marked(rival, names) and rival[0].isdigit() == word[0].isdigit()
    }
    return any(_takes_place(rival, places, stated, names) for rival in rivals)


def _takes_place(
    rival: str, places: Sequence[Clause], stated: Clauses, names: frozenset[str]
) -> bool:
    """Whether the rival is left out, or stands in turn where the word belongs."""
    others = [clause for clause in stated if rival in clause.words]
    return not others or any(
        _unmarked(other, names) & _unmarked(place, names) for other in others for place in places
    )


def _unmarked(clause: Clause, names: frozenset[str]) -> set[str]:
    return {word for word in clause.words if not _is_marked(word, names)}


def is_outdated(stated: Clauses, quoted: Clauses) -> bool:
    """Whether what is said of an old or former thing is stated as if it held."""
    words = {word for clause in stated for word in clause.words}
    said = {word for clause in stated for word in clause.said}
    if said & (_FORMER | _PAST) or not said & _PRESENT:
        return False
    related = [clause for clause in quoted if words.intersection(clause.words)]
    return bool(related) and all(
        _FORMER & set(clause.said) and _PAST & set(clause.said) for clause in related
    )


def is_left_behind(value: str, statement: str, quoted: str) -> bool:
    """Whether a value is what the quote moves away from: Rome of "from Rome to Oslo"."""
    heard = tokens(quoted)
    away, towards = _bound(heard, _AWAY), _bound(heard, _TOWARDS)
    own = _canonical(tokens(value))
    return bool(towards) and bool(own & away - towards - _bound(tokens(statement), _AWAY))
