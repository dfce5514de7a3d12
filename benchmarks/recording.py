"""What a real model once found in the sessions of a data set, to be answered again.

``replay_observations.jsonl`` holds a session a line: its turns, and the facts that were found with
the ids of the turns that they rest on. A request is recognised by what its messages say, so it
does not matter under which ids, dates or users the sessions are pushed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipelines.testing.requests import Line

    FactDict = dict[str, Any]
    Wording = Callable[[str], str]

RECORDING = "replay_observations.jsonl"
_PAST = re.compile(
    r"\b(?:\w{2,}ed|was|were|had|did|went|got|made|took|gave|won|lost|met|began|bought|found|left"
    r"|said|saw|spent|told|felt|wrote|came|became|taught|brought|built|kept|ran|held)\b"
)


class Turn(BaseModel):
    """A message as it was recorded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    turn_id: str
    text: str


class RecordedFact(BaseModel):
    """A fact as the model found it.

    Attributes:
        source_turn_ids: The turns that it rests on; the first one is quoted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    source_turn_ids: tuple[str, ...]
    speaker: str


class RecordedSession(BaseModel):
    """A session and all that was found in it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: str
    session_id: str
    turns: tuple[Turn, ...]
    facts: tuple[RecordedFact, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of a request, and the turn that it shows.

    Attributes:
        content: What the message says in whole.
        is_fresh: It is to be distilled; what is repeated as context, or continues a message
            that began in an earlier request, is not.
    """

    number: int
    turn: int
    content: str
    is_fresh: bool


def load_recording(folder: Path) -> list[RecordedSession]:
    """The sessions in the order of the file."""
    lines = (folder / RECORDING).read_text("utf-8").splitlines()
    return [RecordedSession.model_validate_json(line) for line in lines if line.strip()]


def first_facts(sessions: Iterable[RecordedSession], count: int) -> list[RecordedSession]:
    """The sessions with the first so many facts; further facts of the last one are left out."""
    chosen: list[RecordedSession] = []
    for session in sessions:
        if count <= 0:
            break
        chosen.append(session.model_copy(update={"facts": session.facts[:count]}))
        count -= len(session.facts)
    return chosen


class Recording:
    """Finds the sessions of a request by what their messages say.

    Attributes:
        missing: Sessions asked for that were not recorded.
    """

    def __init__(self, sessions: Sequence[RecordedSession]) -> None:
        self.missing = 0
        self._sessions = sessions
        self._turns: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, session in enumerate(sessions):
            for place, turn in enumerate(session.turns):
                self._turns[_plain(turn.text)].append((number, place))

    def answer(self, lines: Sequence[Line], wording: Wording) -> list[FactDict]:
        """The recorded facts of a request, each in the one that shows its first turn fresh.

        Args:
            lines: All messages of the request, context included.
            wording: Says each fact in the words wanted.
        """
        groups = [list(group) for _, group in groupby(lines, key=lambda line: line["session"])]
        return [
            fact
            for group in groups
            # Several sessions share a request only whole, and are numbered through.
            for fact in self._answer(group, group[0]["id"] if len(groups) > 1 else 0, wording)
        ]

    def _answer(self, lines: Sequence[Line], offset: int, wording: Wording) -> Iterator[FactDict]:
        number = self._find(lines)
        if number is None:
            self.missing += 1
            return
        session = self._sessions[number]
        shown = {session.turns[item.turn].turn_id: item for item in _align(session, lines, offset)}
        for fact in session.facts:
            first = shown.get(fact.source_turn_ids[0])
            if first is not None and first.is_fresh:
                cited = [shown[key].number for key in fact.source_turn_ids if key in shown]
                yield _fact(fact, first.content, cited, wording)

    def _find(self, lines: Sequence[Line]) -> int | None:
        """The session that shares most of the messages."""
        votes = Counter(
            number for line in lines for number in {number for number, _ in self._places(line)}
        )
        return votes.most_common(1)[0][0] if votes else None

    def _places(self, line: Line) -> list[tuple[int, int]]:
        if "part" not in line:
            return self._turns.get(_plain(line["content"]), [])
        part = _plain(line["content"])
        return [place for text, places in self._turns.items() if part in text for place in places]


def _align(session: RecordedSession, lines: Sequence[Line], offset: int) -> Iterator[Shown]:
    """Which turn each line shows: of equal ones the one at the line's own place, else the next."""
    begun: dict[int, Shown] = {}
    after = -1
    for line in lines:
        content, number = _plain(line["content"]), line["id"]
        places = [
            place
            for place, turn in enumerate(session.turns)
            if _plain(turn.text) == content or ("part" in line and content in _plain(turn.text))
        ]
        own = number - offset
        place = own if own in places else next((it for it in places if it > after), None)
        if place is None:
            continue
        after = place
        is_fresh = not line["context"] and line.get("part", 1) == 1
        whole = session.turns[place].text if "part" in line else line["content"]
        shown = Shown(number, place, whole, is_fresh)
        if number not in begun:
            begun[number] = shown
        elif is_fresh:
            begun[number] = replace(begun[number], is_fresh=True)
    yield from begun.values()


def _fact(fact: RecordedFact, quote: str, cited: Sequence[int], wording: Wording) -> dict[str, Any]:
    statement = wording(fact.text)
    return {
        "statement": statement,
        "subject": fact.speaker,
        "kind": "event" if _PAST.search(fact.text) else "knowledge",
        "quote": quote,
        "message_ids": list(cited),
        "importance": 0.5,
        "attribute": None,
        "value": None,
        "ends": False,
        "event_date": None,
    }


class Truth:
    """Which statements come from the same recorded fact, in whichever words.

    Args:
        sessions: Whose facts are known.
        wordings: In which they may be told.
    """

    def __init__(self, sessions: Iterable[RecordedSession], wordings: Sequence[Wording]) -> None:
        self._facts: dict[str, set[str]] = {}
        for fact in (fact for session in sessions for fact in session.facts):
            for wording in wordings:
                self._facts.setdefault(_plain(wording(fact.text)), set()).add(_plain(fact.text))

    def judge(self, pair: Mapping[str, Any]) -> str:
        """``same`` for two wordings of one fact, else ``both``."""
        one, other = (self._facts.get(_plain(pair[side]["statement"]), set()) for side in "ab")
        return "same" if one & other else "both"


def _plain(text: str) -> str:
    return " ".join(text.split())
