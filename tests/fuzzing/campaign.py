"""Pushes nasty transcripts over every road, does a worker's work, and looks at what is left."""

from __future__ import annotations

import random
import resource
import threading
import time
import traceback
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
from redis import Redis

from config.policy import IntakePolicy
from config.settings import Settings
from memstill_client.wire import stream_key
from pipelines.flows.ingest import Ingest
from pipelines.model import MemoryId, ReceiptId
from tests.acceptance.deployment import free_port, wait_until
from tests.fuzzing.rows import find_broken, find_misquoted
from tests.fuzzing.texts import nasty_text
from tests.fuzzing.transcripts import CANARY, Case, Road
from workers.api import make_server
from workers.app import make_app
from workers.clock import SystemClock
from workers.container import Container, open_container
from workers.embedded.children import is_listening
from workers.intake import StreamIntake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipelines.model import Owner, Transcript
    from pipelines.ports import Accepted

# What an answer to a push may be; anything else is a finding.
_ANSWERS = {Road.HTTP: {202, 409, 422}, Road.BULK: {200, 422}}
_ERROR_STATUSES = range(400, 500)
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may cost, in seconds of this process's CPU; PostgreSQL's come on top."""

    accept_seconds: float = 30.0
    distill_seconds: float = 60.0
    consolidate_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Slow:
    """The most expensive step of its kind so far."""

    seconds: float
    what: str


@dataclass(slots=True)
class Report:
    """What came of the cases, and everything that must not be."""

    cases: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, Slow] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    facts: int = 0
    memories: int = 0

    def find(self, case: Case | None, what: str) -> None:
        """Note something that must not be."""
        name = f"case {case.number} ({case.road}; {', '.join(case.what)}): " if case else ""
        self.findings.append(name + what)

    def lines(self) -> Iterator[str]:
        """As a person reads it."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        yield f"{self.cases} transcripts, {self.facts} facts, {self.memories} memories"
        yield f"answers: {_listed(self.answers)}"
        yield f"receipts: {_listed(self.states)}"
        for kind, slow in self.slowest.items():
            yield f"slowest {kind}: {slow.seconds:.2f} s of CPU, {slow.what}"
        yield f"memory at most {peak} MB"
        yield f"{len(self.findings)} findings"
        yield from self.findings


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class ListeningIngest(Ingest):
    """An intake that remembers what it gave out."""

    heard: list[ReceiptId] = field(default_factory=list)

    def run(self, transcripts: Sequence[Transcript]) -> list[Accepted]:
        answers = Ingest.run(self, transcripts)
        self.heard.extend(answer.receipt for answer in answers)
        return answers

    def refuse(
        self, owner: Owner, payload: str, reason: str, pushed_at: datetime | None = None
    ) -> ReceiptId:
        receipt = Ingest.refuse(self, owner, payload, reason, pushed_at)
        self.heard.append(receipt)
        return receipt


@dataclass(slots=True)
class Campaign:
    """One container, its API and its intake, and what came of what was pushed."""

    container: Container
    api: httpx2.Client
    redis: Redis
    limits: Limits = field(default_factory=Limits)
    report: Report = field(default_factory=Report)
    _waiting: dict[ReceiptId, Case] = field(default_factory=dict)
    _heard: list[ReceiptId] = field(default_factory=list)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    def run(self, cases: Sequence[Case]) -> None:
        """Push these, do all the work there is, and look at everything they left."""
        for case in cases:
            self.report.cases += 1
            with self._counted("push", case, self.limits.accept_seconds):
                self._push(case)
        self.work()
        self._check_rows()
        self._check_answers()
        self._waiting.clear()

    # ---- pushing ----------------------------------------------------------------------------

    def _push(self, case: Case) -> None:
        if case.road is Road.STREAM:
            self._push_on_stream(case)
            return
        path = "/v1/transcripts" if case.road is Road.HTTP else "/v1/transcripts:bulk"
        lane = {} if case.lane is None else {"lane": case.lane}
        answer = self.api.post(path, content=case.body, params=lane)
        self.report.answers[f"{case.road} {answer.status_code}"] += 1
        if answer.status_code not in _ANSWERS[case.road]:
            self.report.find(case, f"answered {answer.status_code}: {answer.text[:200]}")
            return
        self._read(case, answer)

    def _read(self, case: Case, answer: httpx2.Response) -> None:
        body: dict[str, Any] = answer.json()
        results = body.get("results", [body])
        for result in results:
            if "receipt" in result:
                self._waiting[ReceiptId(uuid.UUID(result["receipt"]))] = case
            else:
                self._check_refusal(case, result)
        if answer.status_code in _ERROR_STATUSES and "error" not in body:
            self.report.find(case, "an error that says nothing")

    def _check_refusal(self, case: Case, refused: dict[str, Any]) -> None:
        error = refused.get("error", {})
        if set(error) != {"type", "field", "reason"} or not error["reason"]:
            self.report.find(case, f"an error without field or reason: {sorted(error)}")
        if CANARY in str(error.get("reason")):
            self.report.find(case, "an error that repeats what was said")

    def _push_on_stream(self, case: Case) -> None:
        intake = self._intake()
        key = stream_key(self.container.settings.key_prefix)
        entry: dict[Any, Any] = {"transcript": case.body}
        self.redis.xadd(key, entry if case.lane is None else entry | {"lane": case.lane})
        intake.read_once()
        if self.redis.xlen(key) or not self._heard:
            self.report.find(case, "the Stream kept it, or nobody filed it")
            self.redis.delete(key)
            intake.prepare()
        self.report.answers["stream filed"] += 1
        self._waiting.update(dict.fromkeys(self._heard, case))

    def _intake(self) -> StreamIntake:
        flow, settings = self.container.ingest, self.container.settings
        self._heard = []
        ingest = ListeningIngest(
            flow.inbox, flow.waker, flow.clock, flow.personal_data, heard=self._heard
        )
        intake = StreamIntake(
            self.redis,
            ingest,
            SystemClock(),
            IntakePolicy(),
            key_prefix=settings.key_prefix,
            default_tenant=settings.default_tenant,
        )
        intake.prepare()
        return intake

    # ---- working ----------------------------------------------------------------------------

    def work(self) -> None:
        """What workers would do, in this thread, until nothing is due."""
        for _ in range(_ROUNDS):
            now = self.container.sweep.clock.now()
            due = self.container.sweep.work.find_due(now, 1_000)
            if not (due.transcripts or due.backfill or due.owners or due.has_unprojected):
                return
            for receipt in (*due.transcripts, *due.backfill):
                case = self._waiting.get(receipt)
                with self._counted("distilling", case, self.limits.distill_seconds):
                    self.container.distill.run(receipt)
            for owner in due.owners:
                with self._counted("consolidating", None, self.limits.consolidate_seconds):
                    self.container.consolidate.run(owner)
            with self._counted("projecting", None, self.limits.consolidate_seconds):
                self.container.project.run()
        self.report.find(None, "the work does not end")

    @contextmanager
    def _counted(self, kind: str, case: Case | None, limit: float) -> Iterator[None]:
        started = time.process_time()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            where = "".join(traceback.format_exception(error, limit=-4))
            self.report.find(case, f"{kind} raised {where}")
        seconds = time.process_time() - started
        what = f"case {case.number}, {len(case.body):,} bytes" if case else ""
        if seconds > self.report.slowest.get(kind, Slow(0.0, "")).seconds:
            self.report.slowest[kind] = Slow(seconds, what)
        if seconds > limit:
            self.report.find(case, f"{kind} took {seconds:.1f} s of CPU")

    # ---- looking ----------------------------------------------------------------------------

    def _check_rows(self) -> None:
        database = self.container.database
        for broken in find_broken(database, is_settled=True):
            self.report.find(None, broken)
        for broken in find_misquoted(database, self._waiting):
            self.report.find(None, broken)

    def _check_answers(self) -> None:
        """Every receipt can be asked for, and every user be recalled with any question."""
        owners = {}
        for receipt, case in self._waiting.items():
            owner = self.container.inbox.find_owner(receipt)
            if owner is None:
                self.report.find(case, "a receipt that nobody knows")
                continue
            status = self.container.inbox.status(owner.tenant_id, receipt)
            self.report.states[status.state.value] += 1
            self.report.facts += len(status.facts)
            owners[owner] = case
        for owner, case in owners.items():
            with self._counted("recalling", case, self.limits.accept_seconds):
                self._recall(owner, case)

    def _recall(self, owner: Owner, case: Case) -> None:
        name = owner.tenant_id
        if not (owner.user_id and name and _fits_header(name)):
            # No header can name such a tenant.
            return
        query = nasty_text(self._rng, self._rng.choice((1, 20, 300, 7_000, 9_000)))
        asked = {"user_id": owner.user_id, "query": query.encode("utf-8", "replace").decode()}
        headers = {"X-Memstill-Tenant": owner.tenant_id}
        answer = self.api.post("/v1/recall", json=asked, headers=headers)
        self.report.answers[f"recall {answer.status_code}"] += 1
        if answer.status_code not in {200, 422}:
            self.report.find(case, f"recall answered {answer.status_code}: {answer.text[:200]}")
            return
        for item in answer.json().get("memories", []):
            self.report.memories += 1
            memory = self.container.store.find_memory(
                owner.tenant_id, MemoryId(uuid.UUID(item["id"]))
            )
            if memory.owner != owner:
                self.report.find(case, "recall answered with a memory of somebody else")


def _fits_header(name: str) -> bool:
    """Whether a request can name this tenant."""
    return name.isascii() and name.isprintable() and name == name.strip()


@contextmanager
def open_campaign(
    database_url: str, redis_url: str, key_prefix: str, limits: Limits | None = None
) -> Iterator[Campaign]:
    """A container on these servers, with its API on the loopback."""
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        key_prefix=key_prefix,
        index_url="pgvector",
        api_port=free_port(),
    )
    container = open_container(settings, make_app(settings))
    server = make_server(container)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: is_listening(settings.api_host, settings.api_port), "the API listens")
    url = f"http://{settings.api_host}:{settings.api_port}"
    with httpx2.Client(base_url=url, timeout=120.0) as api, Redis.from_url(redis_url) as redis:
        yield Campaign(container, api, redis, limits or Limits())
    server.should_exit = True
    thread.join(10)
    container.close()
