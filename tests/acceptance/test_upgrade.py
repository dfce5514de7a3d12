"""An upgrade under load: the schema grows beneath workers that go on, and new ones join them."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from pipelines.adapters.postgres.migrate import Migration, Waits, migrate
from tests.acceptance.deployment import wait_until
from tests.acceptance.test_road import session
from tests.upgrade.revisions import GROWN, write_revisions
from tests.upgrade.waiting import LockWatch

if TYPE_CHECKING:
    from pathlib import Path

    from memstill_client import Receipt
    from tests.acceptance.deployment import Deployment

WAITS = Waits(lock=timedelta(seconds=0.3), patience=timedelta(seconds=60))
MARGIN_SECONDS = 0.7


class Load:
    """Agents that push session after session; a push that fails ends theirs and the test."""

    def __init__(self, deployment: Deployment) -> None:
        self.receipts: list[Receipt] = []
        self.errors: list[BaseException] = []
        self._deployment = deployment
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"agent-{number}",)) for number in range(2)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, agent: str) -> None:
        try:
            with self._deployment.client() as client:
                number = 0
                while not self._stop.wait(0.3):
                    name = f"{agent}-{number}"
                    pushed = session(name, "I prefer trains.", user=name)
                    self.receipts.append(client.enqueue(pushed))
                    number += 1
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            self.errors.append(error)


def test_nobody_is_stopped_or_lost_when_the_schema_grows_and_workers_are_replaced(
    modelled: Deployment, tmp_path: Path
) -> None:
    """A table in use holds the migration up and nobody else; old and new workers go on together."""
    url, folder = modelled.env["MEMSTILL_DATABASE_URL"], write_revisions(tmp_path / "r", *GROWN)
    load = Load(modelled)
    said: list[str] = []
    done: list[Migration] = []

    def count_done() -> int:
        return int(modelled.query("SELECT count(*) FROM transcripts WHERE state = 'done'")[0][0])

    def grow() -> None:
        done.append(migrate(url, more=folder, waits=WAITS, note=said.append))

    modelled.start_beat()
    replaced, kept = modelled.start_worker(), modelled.start_worker()
    with modelled.client() as client:
        load.receipts.append(client.enqueue(session("first", "I prefer trains.", user="first")))
    modelled.wait_final(*load.receipts)
    load.start()
    try:
        migrating = threading.Thread(target=grow)
        with LockWatch(url) as watch:
            with psycopg.connect(url) as user:
                user.execute("SELECT FROM transcripts LIMIT 1")
                migrating.start()
                wait_until(lambda: len(said) > 1, "the migration has stood back twice")
                before = count_done()
                wait_until(lambda: count_done() > before + 3, "the workers go on meanwhile")
                assert [] == done
            migrating.join()
        replaced.send_signal(signal.SIGTERM)
        wait_until(lambda: replaced.poll() is not None, "one worker has ended")
        modelled.start_worker()
        during = count_done()
        wait_until(lambda: count_done() > during + 5, "work goes on on the new schema")
    finally:
        load.close()

    assert [] == load.errors
    statuses = modelled.wait_final(*load.receipts)
    assert Counter(done=len(load.receipts)) == Counter(item.state.value for item in statuses)
    assert [(len(load.receipts),)] == modelled.query("SELECT count(*) FROM transcripts")
    assert [] == modelled.query(
        "SELECT statement FROM facts GROUP BY receipt, statement HAVING count(*) > 1"
    )
    assert [Migration(("9001", "9002", "9003"), ())] == done
    assert "9001: transcripts is locked by others" in said[0]
    assert watch.longest_seconds < WAITS.lock.total_seconds() + MARGIN_SECONDS
    assert (0, None) == (replaced.returncode, kept.poll())
    for process in modelled.processes:
        assert b"task_failed" not in modelled.log_of(process)
