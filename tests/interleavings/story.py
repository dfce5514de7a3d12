"""What users say, and what must be known of them in the end: an oracle that knows no database."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from pipelines.model import MemoryState
from pipelines.ports import ChatReply, go_on
from pipelines.testing.requests import read_lines
from tests.builders import day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from pipelines.model import Memory, Owner, ReceiptId, Transcript
    from pipelines.ports import ChatRequest

HOME = "I live in "
CITIES = ("Berlin", "Lisbon", "Oslo")
LIKES = ("jazz", "chess", "ramen")


@dataclass(frozen=True, slots=True)
class Saying:
    """What one session says: perhaps where its user lives, and what they like.

    Attributes:
        number: The session's, and the day on which it was held.
        key: The idempotency key, where it is given.
    """

    number: int
    home: str | None
    likes: tuple[str, ...]
    key: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        home = () if self.home is None else (f"{HOME}{self.home}.",)
        likes = tuple(f"I like {thing}." for thing in self.likes)
        return home + likes or ("Hello.",)

    @property
    def session_id(self) -> str:
        return f"s{self.number}"

    def transcript_of(self, owner: Owner) -> Transcript:
        """As this user pushes it."""
        return make_transcript(
            *self.lines,
            owner=owner,
            session=self.session_id,
            at=day(self.number),
            key=self.key,
        )


class ScriptedModel:
    """``ChatModel`` that always finds the same in the same request, unless told to fail once."""

    name = "scripted"

    def __init__(self) -> None:
        self.next_failures: list[Exception | str] = []

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        del before_retry
        if self.next_failures:
            failure = self.next_failures.pop()
            if isinstance(failure, Exception):
                raise failure
            return ChatReply(failure, self.name, 10, 1)
        facts = [_fact_of(line) for line in read_lines(request.user) if line["content"] != "Hello."]
        return ChatReply(json.dumps({"facts": facts}), self.name, 100, 10)


def _fact_of(line: dict[str, Any]) -> dict[str, Any]:
    said = line["content"]
    city = said.removeprefix(HOME).rstrip(".") if said.startswith(HOME) else None
    return {
        "statement": said,
        "subject": "user",
        "kind": "profile" if city else "preference",
        "quote": said,
        "message_ids": [line["id"]],
        "importance": 0.6,
        "attribute": "home city" if city else None,
        "value": city,
        "ends": False,
        "event_date": None,
    }


@dataclass(frozen=True, slots=True)
class Known:
    """One memory, without its id.

    Attributes:
        cited: Receipt and position of each message it rests on.
    """

    statement: str
    state: MemoryState
    valid_from: datetime
    valid_to: datetime | None
    confirmed_at: datetime
    cited: frozenset[tuple[ReceiptId, int]]


def outline(memories: Iterable[Memory]) -> set[Known]:
    """What a store knows."""
    return {
        Known(
            statement=memory.statement,
            state=memory.state,
            valid_from=memory.valid_from,
            valid_to=memory.valid_to,
            confirmed_at=memory.confirmed_at,
            cited=frozenset((item.transcript_id, item.message_index) for item in memory.evidence),
        )
        for memory in memories
        if memory.state is not MemoryState.MERGED
    }


def expected(transcripts: Iterable[Transcript]) -> set[Known]:
    """What must be known of one user, whatever came when, on whichever worker."""
    said: dict[str, list[Transcript]] = defaultdict(list)
    for transcript in sorted(transcripts, key=lambda item: (item.started_at, str(item.id))):
        for message in transcript.messages:
            said[message.content].append(transcript)
    homes = [
        (line, transcript) for line in said if line.startswith(HOME) for transcript in said[line]
    ]
    likes = {line: found for line, found in said.items() if line.startswith("I like ")}
    return _timeline(homes) | {
        _known(line, found, MemoryState.ACTIVE, None) for line, found in likes.items()
    }


def _timeline(homes: Sequence[tuple[str, Transcript]]) -> set[Known]:
    """One home after another; the last one is where the user lives."""
    in_order = sorted(homes, key=lambda item: (item[1].started_at, str(item[1].id)))
    stays = [
        (line, [transcript for _, transcript in group])
        for line, group in groupby(in_order, key=lambda item: item[0])
    ]
    past = {
        _known(*stay, MemoryState.SUPERSEDED, following[1][0].started_at)
        for stay, following in pairwise(stays)
    }
    return past | {_known(*stay, MemoryState.ACTIVE, None) for stay in stays[-1:]}


def _known(
    line: str, said_in: Sequence[Transcript], state: MemoryState, valid_to: datetime | None
) -> Known:
    times = [transcript.started_at for transcript in said_in]
    return Known(
        statement=line,
        state=state,
        valid_from=min(times),
        valid_to=valid_to,
        confirmed_at=max(times),
        cited=frozenset(
            (transcript.id, message.index)
            for transcript in said_in
            for message in transcript.messages
            if message.content == line
        ),
    )
