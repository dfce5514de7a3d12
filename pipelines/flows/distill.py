"""Distilling: leased transcripts become grounded facts, or wait, or are dead letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    BadReply,
    BudgetExceeded,
    DependencyUnavailable,
    LeaseLost,
    ModelRefused,
    NewerFormat,
    NotFound,
    StoreRefused,
)
from pipelines.flows.again import insist, is_outage
from pipelines.flows.turns import AT_THE_HEAD, Taken, Turn, Turns
from pipelines.outcome import Done, Outcome, Skipped, Snoozed
from pipelines.stages.generation import cite_original
from pipelines.stages.grounding.ground import ground
from pipelines.stages.injection.recalled import without_recalled
from pipelines.stages.verbatim import verbatim_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from config.retrieval import VerbatimPolicy
    from pipelines.model import Draft, Fact, Lane, Owner, ReceiptId, Refusal, Transcript
    from pipelines.ports import Clock, Distillers, Inbox, Place, TranscriptClaim, Waker

log = structlog.get_logger(__name__)

# Given an error and the number of the attempt: when to try again, or None for a dead letter.
Judge = Callable[[Exception, int], timedelta | None]
Outcomes = dict["ReceiptId", Outcome]

_FAILURES = (BadReply, BudgetExceeded, DependencyUnavailable, ModelRefused, StoreRefused)
# One transcript may be to blame for these, or a smaller request may pass.
_FAILURES_OF_COMPANY = (BadReply, BudgetExceeded, ModelRefused)
_LOST = Skipped("its lease was lost")
_NOT_DUE = Skipped("not due, or held by another worker")
_AWAY = Skipped("the model is away")
_LOOKS = 10
# A transcript that keeps ending its worker shall not use up the attempts of the others.
_ATTEMPTS_IN_COMPANY = 2


@dataclass(slots=True)
class _Group:
    """Transcripts of one user that one call distills.

    Attributes:
        held: The claims that still stand, in the order in which they are committed.
        shown: What the distiller sees. A request that was paid before is put together again
            from all of its transcripts, also from those that are done or that others hold.
    """

    held: list[TranscriptClaim]
    shown: tuple[Transcript, ...]


@dataclass(frozen=True, slots=True)
class Distill:
    """Distills one transcript, and with it what else of its user is due and fits into a call.

    Attributes:
        max_deaths: A transcript that ended so many workers is not given to another.
        verbatim: Keep what was said beside a model's facts, too; None keeps the facts alone.
        patience: How long a result waits for a store that is away.
        may_ask: Whether the model is there, as far as is known: else nobody is taken out of
            the line for it.
        may_spread: Whether somebody here has nothing to do: where more than one stand in line,
            whoever takes the first one wakes him. So a few wake-ups are enough for many.
    """

    inbox: Inbox
    distillers: Distillers
    waker: Waker
    clock: Clock
    lease: timedelta
    max_attempts: int
    judge: Judge
    max_deaths: int = 3
    verbatim: VerbatimPolicy | None = None
    patience: timedelta = timedelta(0)
    may_ask: Callable[[], bool] = lambda: True
    may_spread: Callable[[], bool] = lambda: False
    turns: Turns = field(default_factory=Turns)

    def run(self, receipt: ReceiptId) -> Outcome:
        """Distill this one if it is due; whatever happens, the row says what."""
        owner = self.inbox.find_owner(receipt)
        claims = [] if owner is None else self._claim(receipt, owner)
        return self._work(claims) if claims else _NOT_DUE

    def run_next(self, lane: Lane) -> Turn:
        """Distill whoever's turn it is in the lane; whatever happens, the row says what."""
        if not self.may_ask():
            return Turn(_AWAY)
        with_suspects = self.turns.quarantine.acquire(blocking=False)
        try:
            taken = self._claim_next(lane, with_suspects=with_suspects)
            if taken.is_more and self.may_spread():
                self.waker.wake_distill([taken.claims[0].transcript.id], lane)
            if with_suspects and not taken.has_suspect:
                with_suspects = False
                self.turns.quarantine.release()
            return Turn(self._work(taken.claims) if taken.claims else _NOT_DUE, taken.is_more)
        finally:
            if with_suspects:
                self.turns.quarantine.release()

    def _work(self, claims: Sequence[TranscriptClaim]) -> Outcome:
        receipt = claims[0].transcript.id
        outcomes: Outcomes = {}
        try:
            groups = self._gather(claims, outcomes)
        except DependencyUnavailable as error:
            return self._give_back(claims, error)[receipt]
        for group in groups:
            outcomes |= self._distill(group)
        return outcomes.get(receipt, _LOST)

    # ---- who goes together ------------------------------------------------------------------

    def _claim_next(self, lane: Lane, *, with_suspects: bool) -> Taken:
        """Of the first in line one that no other worker takes at this moment.

        Where others were quicker each time it looks again: whoever they took is out of the line,
        and this wake-up may be the last one.
        """
        for _ in range(_LOOKS):
            now = self.clock.now()
            head = self.turns.look(self.inbox, lane, now, with_suspects=with_suspects)
            if claims := self._claim_one_of(head.places, lane):
                return Taken(claims, head.is_more)
            if len(head.places) < AT_THE_HEAD:
                break
        return Taken([])

    def _claim_one_of(self, places: Sequence[Place], lane: Lane) -> list[TranscriptClaim]:
        for place in places:
            self.turns.note(lane, place.owner.tenant_id)
            try:
                claims = self._claim(place.receipt, place.owner)
            except NewerFormat as error:
                log.info("left_to_a_newer_release", receipt=str(place.receipt), reason=str(error))
                continue
            if claims:
                return claims
        return []

    def _claim(self, receipt: ReceiptId, owner: Owner) -> list[TranscriptClaim]:
        """The transcript, and with it whoever of its user waits too; nobody is waited for."""
        now = self.clock.now()
        try:
            distiller = self.distillers.of(owner)
        except NotFound:
            # Its generation has just been dropped.
            return []
        if not distiller.max_company:
            claim = self.inbox.claim_transcript(receipt, now, self.lease)
            return [] if claim is None else [claim]
        return self.inbox.claim_together(
            receipt,
            lambda lead, waiting: distiller.select_company(without_recalled(lead), _shown(waiting)),
            now,
            self.lease,
            distiller.max_company,
        )

    def _gather(self, claims: Sequence[TranscriptClaim], outcomes: Outcomes) -> list[_Group]:
        """Who was paid for together stays together; the others make one group."""
        left = [claim for claim in claims if not self._is_exhausted(claim, outcomes)]
        if not left:
            return []
        groups = []
        for company in self._find_companies(left):
            held = [claim for claim in left if claim.transcript.id in company]
            left = [claim for claim in left if claim not in held]
            groups += self._rejoin(held, company, outcomes) if held else []
        return groups + ([_together(left)] if left else [])

    def _find_companies(self, claims: Sequence[TranscriptClaim]) -> Iterable[tuple[ReceiptId, ...]]:
        asked = [claim.transcript.id for claim in claims if claim.was_asked]
        if not asked:
            return []
        owner = claims[0].transcript.owner
        return dict.fromkeys(self.distillers.of(owner).find_companies(owner, asked).values())

    def _rejoin(
        self, held: list[TranscriptClaim], company: Sequence[ReceiptId], outcomes: Outcomes
    ) -> list[_Group]:
        """The group whose request was paid before its facts were stored: the same text again."""
        texts = {claim.transcript.id: claim.transcript for claim in held}
        others = [receipt for receipt in company if receipt not in texts]
        if others:
            found = self.inbox.load_transcripts(held[0].transcript.owner, others)
            texts |= {item.id: item for item in found}
        if not texts.keys() >= set(company):
            return [_together([claim]) for claim in held]
        if max(claim.attempt for claim in held) <= _ATTEMPTS_IN_COMPANY:
            held += self._claim_again(others, outcomes)
        return [_Group(held, _shown(texts[receipt] for receipt in company))]

    def _claim_again(
        self, receipts: Iterable[ReceiptId], outcomes: Outcomes
    ) -> Iterable[TranscriptClaim]:
        for receipt in receipts:
            claim = self.inbox.claim_transcript(receipt, self.clock.now(), self.lease)
            if claim is not None and not self._is_exhausted(claim, outcomes):
                yield claim

    def _is_exhausted(self, claim: TranscriptClaim, outcomes: Outcomes) -> bool:
        """Whether it has had all its attempts; if so, it was buried now."""
        if claim.deaths >= self.max_deaths:
            error = f"its worker died over it, or was frozen, {claim.deaths} times"
            outcomes[claim.transcript.id] = self._bury(claim, "killed_its_worker", error)
        elif claim.tries > self.max_attempts:
            error = f"{self.max_attempts} attempts are allowed"
            outcomes[claim.transcript.id] = self._bury(claim, "attempts_exhausted", error)
        return claim.transcript.id in outcomes

    # ---- distilling -------------------------------------------------------------------------

    def _distill(self, group: _Group) -> Outcomes:
        try:
            drafts = self._ask(group)
        except LeaseLost:
            return {}
        except _FAILURES as error:
            if len(group.shown) > 1 and isinstance(error, _FAILURES_OF_COMPANY):
                return self._distill_one_by_one(group, error)
            return self._give_back(group.held, error)
        found = {item.id: of for item, of in zip(group.shown, drafts, strict=True)}
        outcomes = {
            claim.transcript.id: self._commit(claim, found[claim.transcript.id])
            for claim in group.held
        }
        self.waker.wake_consolidate([group.shown[0].owner])
        return outcomes

    def _ask(self, group: _Group) -> list[list[Draft]]:
        distiller = self.distillers.of(group.shown[0].owner)
        return distiller.distill(
            group.shown,
            lambda: self._keep_alive(group),
            was_asked=any(claim.was_asked for claim in group.held),
        )

    def _distill_one_by_one(self, group: _Group, error: Exception) -> Outcomes:
        """What failed together may be the fault of one: the others shall not suffer for it."""
        log.warning("shared_call_failed", transcripts=len(group.shown), error=type(error).__name__)
        outcomes: Outcomes = {}
        while self._extend(group.held):
            outcomes |= self._distill(_together([group.held.pop(0)]))
        return outcomes

    def _commit(self, claim: TranscriptClaim, drafts: Sequence[Draft]) -> Outcome:
        """Ground against the claimed transcript alone, and store under its own fence."""
        facts, refusals = self._ground(claim.transcript, drafts)
        try:
            self._insist(
                lambda: self.inbox.commit_distilled(claim, facts, refusals, self.clock.now())
            )
        except LeaseLost:
            return _lost(claim)
        except (DependencyUnavailable, StoreRefused) as error:
            return self._give_back([claim], error)[claim.transcript.id]
        counts = {"facts": len(facts), "refused": len(refusals)}
        log.info("transcript_distilled", receipt=str(claim.transcript.id), **counts)
        return Done(counts)

    def _ground(
        self, transcript: Transcript, drafts: Sequence[Draft]
    ) -> tuple[list[Fact], list[Refusal]]:
        distiller = self.distillers.of(transcript.owner)
        facts, refusals = ground(drafts, transcript, distiller.version)
        if self.verbatim is not None and distiller.is_selective:
            facts += verbatim_beside(facts, without_recalled(transcript), self.verbatim)
        return cite_original(facts, transcript), refusals

    # ---- leases -----------------------------------------------------------------------------

    def _keep_alive(self, group: _Group) -> None:
        if not self._extend(group.held):
            raise LeaseLost("none of the transcripts is held any more")

    def _extend(self, held: list[TranscriptClaim]) -> bool:
        """Hold all of them for longer; those that were lost are taken out.

        Returns:
            Whether any is left.
        """
        until = self.clock.now() + self.lease
        for claim in tuple(held):
            try:
                self._insist(partial(self.inbox.extend_lease, claim, until))
            except LeaseLost:
                held.remove(claim)
                _lost(claim)
        return bool(held)

    # ---- failures ---------------------------------------------------------------------------

    def _give_back(self, claims: Sequence[TranscriptClaim], error: Exception) -> Outcomes:
        """Each waits or is a dead letter by its own attempts; those that wait stay together."""
        if isinstance(error, BudgetExceeded):
            return {claim.transcript.id: self._park(claim, error) for claim in claims}
        delays = [self.judge(error, claim.tries) for claim in claims]
        longest = max((delay for delay in delays if delay is not None), default=timedelta(0))
        return {
            claim.transcript.id: self._end_attempt(claim, error, None if delay is None else longest)
            for claim, delay in zip(claims, delays, strict=True)
        }

    def _end_attempt(
        self, claim: TranscriptClaim, error: Exception, delay: timedelta | None
    ) -> Outcome:
        text = f"{type(error).__name__}: {error}"
        if delay is None:
            return self._bury(claim, type(error).__name__, text)
        is_counted = not is_outage(error)
        # Nobody is to blame for an outage, unless it comes back with the same company.
        is_blamed = claim.attempt > 1 or not isinstance(error, DependencyUnavailable)
        try:
            self._insist(
                lambda: self.inbox.postpone(
                    claim,
                    self.clock.now() + delay,
                    text,
                    is_alone=is_counted and is_blamed,
                    is_counted=is_counted,
                )
            )
        except LeaseLost:
            return _lost(claim)
        log.warning("transcript_postponed", receipt=str(claim.transcript.id), error=text)
        return Snoozed(delay, text)

    def _park(self, claim: TranscriptClaim, error: BudgetExceeded) -> Outcome:
        now = self.clock.now()
        try:
            self._insist(
                lambda: self.inbox.park(
                    claim, error.resume_at, str(error), now, whole_tenant=error.is_tenants
                )
            )
        except LeaseLost:
            return _lost(claim)
        log.warning("transcript_parked", receipt=str(claim.transcript.id), error=str(error))
        return Snoozed(error.resume_at - now, str(error))

    def _bury(self, claim: TranscriptClaim, reason: str, error: str) -> Outcome:
        try:
            self._insist(lambda: self.inbox.dead_letter(claim, reason, error, self.clock.now()))
        except LeaseLost:
            return _lost(claim)
        self.waker.wake_consolidate([claim.transcript.owner])
        log.error("transcript_dead", receipt=str(claim.transcript.id), reason=reason)
        return Done({"dead": 1})

    def _insist(self, write: Callable[[], None]) -> None:
        """A store that goes away for a moment costs no attempt, and looks like no death.

        Repeated though it was taken, a write is refused by the fence.
        """
        insist(write, self.patience)


def _together(claims: Sequence[TranscriptClaim]) -> _Group:
    """A group of its own, shown in event order."""
    transcripts = [claim.transcript for claim in claims]
    transcripts.sort(key=lambda item: (item.ended_at, str(item.id)))
    return _Group(list(claims), _shown(transcripts))


def _shown(transcripts: Iterable[Transcript]) -> tuple[Transcript, ...]:
    return tuple(map(without_recalled, transcripts))


def _lost(claim: TranscriptClaim) -> Outcome:
    log.warning("lease_lost", receipt=str(claim.transcript.id))
    return _LOST
