"""A world to distill in: stores in memory, a clock that stands, a distiller on a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.flows.distill import Distill
from pipelines.model import Draft, Kind
from pipelines.testing.models import OneDistiller
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import START

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipelines.model import Owner, ReceiptId, Transcript
    from pipelines.ports import Status

LEASE = timedelta(minutes=5)
DELAY = timedelta(seconds=30)


@dataclass
class ScriptedDistiller:
    """Proposes what it is told of each transcript, and remembers what it was shown together.

    Attributes:
        paid: The company in which a transcript was paid before.
    """

    script: Callable[[Transcript], list[Draft]]
    max_company: int = 0
    is_selective: bool = False
    version: str = "scripted/1"
    shown: list[tuple[Transcript, ...]] = field(default_factory=list)
    paid: dict[ReceiptId, tuple[ReceiptId, ...]] = field(default_factory=dict)

    def select_company(self, lead: Transcript, waiting: Sequence[Transcript]) -> list[Transcript]:
        return [item for item in waiting if item.id != lead.id]

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        del owner
        return {key: self.paid[key] for key in receipts if key in self.paid}

    def distill(
        self,
        transcripts: Sequence[Transcript],
        keep_alive: Callable[[], None],
        *,
        was_asked: bool = True,
    ) -> list[list[Draft]]:
        del was_asked
        self.shown.append(tuple(transcripts))
        drafts = [self.script(transcript) for transcript in transcripts]
        keep_alive()
        return drafts


def quote_everything(transcript: Transcript) -> list[Draft]:
    """Each message is a draft of its own."""
    return [
        Draft(message.content, "User", Kind.KNOWLEDGE, message.content, (message.id,))
        for message in transcript.messages
    ]


def fail_with(error: Exception, *, on: str = "") -> Callable[[Transcript], list[Draft]]:
    """Fails over every transcript that says ``on``, and quotes the others."""

    def script(transcript: Transcript) -> list[Draft]:
        if any(on in message.content for message in transcript.messages):
            raise error
        return quote_everything(transcript)

    return script


class World:
    """Three attempts; after the n-th a transcript waits the n-th delay."""

    def __init__(
        self,
        script: Callable[[Transcript], list[Draft]] = quote_everything,
        max_company: int = 0,
        *,
        stores: InMemoryStores | None = None,
        delays: Sequence[timedelta] = (DELAY, DELAY),
    ) -> None:
        self.stores = stores or InMemoryStores()
        self.waker = RecordingWaker()
        self.clock = ManualClock(START)
        self.distiller = ScriptedDistiller(script, max_company)
        self.flow = Distill(
            self.stores,
            OneDistiller(self.distiller),
            self.waker,
            self.clock,
            lease=LEASE,
            max_attempts=3,
            judge=lambda _, attempt: dict(enumerate(delays, start=1)).get(attempt),
        )

    def accept(self, *transcripts: Transcript) -> tuple[Transcript, ...]:
        self.stores.accept(transcripts, START)
        return transcripts

    def die_over(self, *transcripts: Transcript) -> None:
        """A worker claims them and is never heard of again; their leases run out."""
        for item in transcripts:
            assert self.stores.claim_transcript(item.id, self.clock.now(), LEASE)
        self.clock.advance(LEASE)

    def pay(self, *transcripts: Transcript) -> None:
        """One request with these was answered, and its reply is stored."""
        receipts = tuple(item.id for item in transcripts)
        self.distiller.paid |= dict.fromkeys(receipts, receipts)

    def status(self, transcript: Transcript) -> Status:
        return self.stores.status(transcript.owner.tenant_id, transcript.id)

    def states(self, *transcripts: Transcript) -> list[str]:
        return [self.status(item).state.value for item in transcripts]

    def shown_together(self) -> list[list[str]]:
        """The sessions of each call, in their order."""
        return [[item.session_id for item in shown] for shown in self.distiller.shown]
