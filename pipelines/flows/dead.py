"""Dead letters: what became of them, and having them tried again or thrown away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from config.operation import DeadPolicy
from pipelines.errors import InputError
from pipelines.model import Lane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pipelines.flows.ingest import Ingest
    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports import (
        Clock,
        DeadFilter,
        DeadLetter,
        DeadLetters,
        Inbox,
        StoredReply,
        Waker,
    )
    from pipelines.ports.dead import Cursor

log = structlog.get_logger(__name__)

# Reads what could not be read when it was pushed; raises ``InputError`` if it still cannot.
Read = Callable[[str, "DeadLetter"], "Transcript"]

UNREADABLE, HELD = "unreadable", "held"


@dataclass(frozen=True, slots=True)
class Autopsy:
    """A dead letter with all that is known of it.

    Attributes:
        payload: What was pushed, where it never was a transcript.
    """

    letter: DeadLetter
    replies: tuple[StoredReply, ...]
    payload: str | None


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of dead letters.

    Attributes:
        done: So many were brought back, or dropped.
        kept: So many are dead letters still: ``unreadable``, or ``held`` by what depends on them.
        others: So many of the receipts named are no dead letters, by state.
        after: Where to go on; None when nothing is left.
        until: Only what had died by then was looked at.
    """

    done: int
    kept: Mapping[str, int]
    others: Mapping[str, int]
    after: Cursor | None
    until: datetime


@dataclass(frozen=True, slots=True)
class DeadLetterOffice:
    """Shows dead letters, replays them and drops them, in batches and for a limited time.

    Attributes:
        read: Reads what could not be read when it was pushed.
    """

    dead: DeadLetters
    inbox: Inbox
    ingest: Ingest
    waker: Waker
    clock: Clock
    read: Read
    policy: DeadPolicy = field(default_factory=DeadPolicy)

    def show(self, tenant_id: str, receipt: ReceiptId) -> Autopsy:
        """One of them, with what the model answered for it.

        Raises:
            NotFound: It is none of the tenant's dead letters.
        """
        letter = self.dead.load_dead(tenant_id, receipt)
        return Autopsy(
            letter, tuple(self.dead.list_replies(letter)), self.dead.load_payload(letter)
        )

    def replay(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None = None,
        *,
        is_fresh: bool = False,
        is_dry: bool = False,
    ) -> Handled:
        """Have them tried again from the first attempt on; what is not dead stays as it is.

        Stored replies are used again, and where all of them turned out useless the model is
        asked once more.

        Args:
            tenant_id: Whose.
            wanted: Which of them.
            after: Where the call before this one stopped.
            is_fresh: Forget the stored replies first.
            is_dry: Change nothing, and say what would be.
        """
        # The sweep wakes the rest: nobody needs thousands of wake-ups at once.
        may_wake = after is None and not is_dry

        def bring_back(letters: Sequence[DeadLetter]) -> Counter[str]:
            nonlocal may_wake
            readable = [letter for letter in letters if letter.is_readable]
            back = self.dead.requeue(readable, self.clock.now(), is_fresh=is_fresh, is_dry=is_dry)
            if may_wake:
                self._wake([letter for letter in readable if letter.receipt in back])
                may_wake = False
            count = Counter(done=len(back), **{HELD: len(readable) - len(back)})
            for letter in letters:
                if not letter.is_readable:
                    count[self._read_again(letter, is_dry=is_dry)] += 1
            return count

        return self._handle(
            tenant_id, wanted, after, bring_back, "dead_letters_replayed", is_dry=is_dry
        )

    def drop(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None = None,
        *,
        is_dry: bool = False,
    ) -> Handled:
        """Delete them for good, with what the model answered for them."""

        def throw_away(letters: Sequence[DeadLetter]) -> Counter[str]:
            gone = self.dead.drop(letters, is_dry=is_dry)
            return Counter(done=len(gone), **{HELD: len(letters) - len(gone)})

        return self._handle(
            tenant_id, wanted, after, throw_away, "dead_letters_dropped", is_dry=is_dry
        )

    def _handle(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None,
        handle: Callable[[Sequence[DeadLetter]], Counter[str]],
        name: str,
        *,
        is_dry: bool,
    ) -> Handled:
        """The oldest first: what dies again meanwhile is behind the end."""
        started = self.clock.now()
        until = min(wanted.until or started, started)
        wanted, found = replace(wanted, until=until), set()
        count = Counter[str]()
        while True:
            page = self.dead.list_dead(
                tenant_id, wanted, after, self.policy.batch, oldest_first=True
            )
            if page:
                count += handle(page)
                found |= {letter.receipt for letter in page}
            after = page[-1].cursor if len(page) == self.policy.batch else None
            if after is None or self.clock.now() - started >= self.policy.turn:
                break
        done = count.pop("done", 0)
        if done and not is_dry:
            log.info(name, tenant_id=tenant_id, count=done)
        missed = [receipt for receipt in wanted.receipts or () if receipt not in found]
        others = self.inbox.states(tenant_id, missed) if missed else {}
        return Handled(done, dict(count), others, after, until)

    def _read_again(self, letter: DeadLetter, *, is_dry: bool) -> str:
        """It gives way to the transcript that it turns out to be."""
        try:
            transcript = self.read(self.dead.load_payload(letter) or "", letter)
        except InputError as error:
            if not is_dry:
                self.dead.correct(letter, str(error))
            return UNREADABLE
        if not is_dry:
            self.ingest.run([transcript])
            self.dead.drop([letter])
        return "done"

    def _wake(self, letters: Sequence[DeadLetter]) -> None:
        for lane in Lane:
            self.waker.wake_distill([it.receipt for it in letters if it.lane is lane], lane)
