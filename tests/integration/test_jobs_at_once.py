"""Every job beside itself, and after a week in which none ran: what one run leaves, and no more."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis
from sqlalchemy import make_url

from config.retention import ArchivePolicy
from config.schedule import JOBS, Job
from config.settings import Settings
from pipelines.adapters.postgres.tables import metadata
from pipelines.errors import MemstillError
from pipelines.flows.checkpoint import NewCheckpoint
from pipelines.model import Owner
from pipelines.outcome import Snoozed
from pipelines.ports import Subject
from pipelines.stages.checkpoints.chain import Thread
from tests.acceptance.deployment import wait_until
from tests.conftest import copied_database
from tests.year.household import Household, Plan
from tests.year.life import lives_of
from tests.year.world import TENANT, Place, World, open_world
from workers.jobs import jobs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.policy import Policies
    from pipelines.flows.jobs import RunJobs, Turn
    from workers.embedded.postgres import PostgresServer
    from workers.embedded.redis import RedisServer

WEEK = timedelta(days=7)
MOST_FAILURES = 5
# Given out by the server, or by chance.
BY_CHANCE = {
    "events": {"seq"},
    "event_snapshots": {"through", "body"},
    "legal_holds": {"id"},
    "outbox": {"change", "fence"},
    "owners": {"fence", "generation", "attempts"},
    "procedures": {"id"},
    "procedure_outcomes": {"procedure_id"},
}
LEFT_OUT = {"installation", "job_runs"}
Rows = dict[str, list[tuple[str, ...]]]


class EagerSettings(Settings):
    """An installation in which a few events are many."""

    def policies(self) -> Policies:
        """With snapshots and files of a few rows."""
        archive = ArchivePolicy(snapshot_each=5, least_events=2, least_sessions=2, batch=7)
        return replace(super().policies(), archive=archive)


@dataclass(frozen=True, slots=True)
class Lives:
    """An installation that nobody works in any more, and where copies of it are opened."""

    server: PostgresServer
    template: str
    place: Place
    now: timedelta

    @contextmanager
    def open(self, workers: int = 1) -> Iterator[list[World]]:
        """A copy of its own, as so many workers see it at the moment at which all was left."""
        with redis.Redis.from_url(self.place.redis_url) as client:
            client.flushall()
        with copied_database(self.server, self.template) as url, ExitStack() as stack:
            folder = self.place.archive.parent / f"archive of {make_url(url).database}"
            place = replace(self.place, database_url=url, archive=folder)
            opened = [open_world(place, EagerSettings) for _ in range(workers)]
            worlds = [stack.enter_context(world) for world in opened]
            for world in worlds:
                world.clock.advance(self.now)
            for user_id in ("user-0", "user-1"):
                worlds[0].recall(user_id, "What happened?")
            counter = worlds[0].container.lifecycle.counter
            wait_until(lambda: counter.take() is not None, "the recalls are noted")
            yield worlds


@pytest.fixture(scope="module")
def lives(
    postgres_server: PostgresServer,
    template_database: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lives]:
    """Half a year of four users: there is something to do for every job."""
    folder = tmp_path_factory.mktemp("jobs") / "archive"
    with copied_database(postgres_server, template_database) as url:
        place = Place(url, redis_server.url, "jobs", folder)
        now = _live(place)
        name = make_url(url).database
        assert name is not None
        yield Lives(postgres_server, name, place, now)


def _live(place: Place) -> timedelta:
    plan, half_a_year = Plan(users=4, sessions=1), timedelta(days=180)
    with open_world(place, EagerSettings) as world:
        household = Household(world, lives_of(plan), plan)
        for day in range(6):
            household.live(day, world.clock.now())
            for number in range(8):
                _save(world, f"user-{day % 4}", {"day": day, "number": number})
            world.project()
            world.advance(timedelta(days=20))
        world.run(Job.DECAY)
        world.project()
        world.advance(half_a_year - timedelta(days=120))
        erase = world.container.erase
        erase.start(Subject(Owner(TENANT, "user-3")), "counsel")
        world.advance(timedelta(days=1))
    return half_a_year + timedelta(days=1)


def _save(world: World, user_id: str, state: object) -> None:
    thread = Thread(Owner(TENANT, user_id), "task")
    world.container.checkpointing.flow.save(NewCheckpoint(thread, state))


def test_every_job_beside_itself_leaves_what_one_run_leaves(lives: Lives) -> None:
    """Without the guard of slots: as if the lease of a run were over while it still goes on."""
    with lives.open() as worlds:
        before = _rows(worlds[0])
        counts = {job: _to_end(turn) for job, turn in _turns(worlds[0]).items()}
        worlds[0].project()
        once = _rows(worlds[0])
    idle = {job for job, found in counts.items() if not any(found.values())}
    assert idle <= {Job.SWEEP, Job.SHARE}, counts

    with lives.open(workers=2) as worlds, ThreadPoolExecutor(2) as threads:
        assert before == _rows(worlds[0])
        flows = [_turns(world) for world in worlds]
        for job in flows[0]:
            list(threads.map(_to_end, [turns[job] for turns in flows]))
        list(threads.map(World.project, worlds))
        at_once = _rows(worlds[0])

    assert _differences(once, at_once) == []


def test_job_that_ran_a_week_ago_and_is_fired_many_times_runs_once(lives: Lives) -> None:
    """All workers that were away come back and fire what each of them believes to be due."""
    with lives.open() as worlds:
        _pass_a_week(worlds)
        for turn in _turns(worlds[0]).values():
            _to_end(turn)
        worlds[0].project()
        once = _rows(worlds[0])

    with lives.open(workers=2) as worlds, ThreadPoolExecutor(4) as threads:
        _pass_a_week(worlds)
        fired = [jobs_of(world.container) for world in worlds] * 2
        for job in fired[0].flows:
            list(threads.map(_to_end, [_guarded(jobs, job) for jobs in fired]))
        worlds[0].project()
        runs = worlds[0].query(
            "SELECT job, count(*) AS runs FROM job_runs WHERE slot >= :since GROUP BY job",
            since=worlds[0].clock.now() - WEEK - timedelta(days=1),
        )
        after = _rows(worlds[0])

    assert {row.job: 2 for row in runs} == {row.job: row.runs for row in runs}
    assert _differences(once, after) == []


def _pass_a_week(worlds: list[World]) -> None:
    jobs = jobs_of(worlds[0].container)
    for job in jobs.flows:
        _to_end(_guarded(jobs, job))
    for world in worlds:
        world.clock.advance(WEEK)


def _guarded(jobs: RunJobs, job: Job) -> Turn:
    return lambda _: jobs.run(job)


def _turns(world: World) -> Mapping[Job, Turn]:
    """What each job does, in the order of the registry."""
    flows = jobs_of(world.container).flows
    return {job: flows[job] for job in JOBS if job in flows}


def _to_end(turn: Turn) -> Mapping[str, int]:
    """All turns of a run; one that failed is tried again, as its slot would be."""
    position, failures = None, 0
    while failures <= MOST_FAILURES:
        try:
            outcome = turn(position)
        except MemstillError:
            failures += 1
            continue
        if not isinstance(outcome, Snoozed):
            return getattr(outcome, "counts", {})
        position = outcome.position
    raise AssertionError(f"a job failed {failures} times")


def _rows(world: World) -> Rows:
    """All that is in the database, but what is given out by the server or by chance."""
    found: Rows = {}
    for table in metadata.sorted_tables:
        if table.name in LEFT_OUT:
            continue
        names = [c.name for c in table.columns if c.name not in BY_CHANCE.get(table.name, ())]
        columns = ", ".join(f'"{name}"' for name in names)
        rows = world.query(f'SELECT {columns} FROM "{table.name}"')
        found[table.name] = sorted(tuple(map(str, row)) for row in rows)
    found["points"], after = [], None
    while page := world.container.index.scan(after, 1_000):
        found["points"] += [(str(point),) for point in page]
        after = page[-1].memory_id
    found["archive"] = sorted(
        (file.owner.user_id, file.kind, str(file.rows))
        for file in world.container.record.need_archive().files.list_tenant(TENANT)
    )
    return found


def _differences(one: Rows, other: Rows) -> list[str]:
    return [
        f"{table}: only {sorted((Counter(one[table]) - Counter(other[table])).elements())} "
        f"and only {sorted((Counter(other[table]) - Counter(one[table])).elements())}"
        for table in one
        if one[table] != other[table]
    ]
