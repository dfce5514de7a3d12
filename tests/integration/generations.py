"""A deployment in this process whose model hears more when it is asked in better words."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from config.settings import Settings
from memstill_client import Memstill, NotFound
from tests.acceptance.deployment import free_port, wait_until
from tests.endpoint import FactDict, Line, ScriptedEndpoint, fact_from
from workers.api import make_server
from workers.app import make_app
from workers.container import Container, open_container
from workers.embedded.children import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BETTER = "You are asked in better words. Answer with facts."
QUERY = "Where does she live?"


class World:
    """A deployment in this process, whose model hears more with the prompt ``v2``."""

    def __init__(self, container: Container, endpoint: ScriptedEndpoint, client: Memstill) -> None:
        self.container = container
        self.endpoint = endpoint
        self.client = client

    def tell(self, *texts: str, user: str = "alice", day: int) -> str:
        receipt = self.push(*texts, user=user, day=day)
        self.work()
        return receipt

    def push(self, *texts: str, user: str = "alice", day: int, session: str | None = None) -> str:
        receipt = self.client.enqueue(
            user_id=user,
            session_id=session or f"s{day}",
            started_at=f"2026-03-{day:02}T09:00:00Z",
            messages=[
                {"role": "user", "name": user.capitalize(), "content": text} for text in texts
            ],
        )
        return str(receipt)

    def work(self) -> None:
        """What workers would do, until nothing is due."""
        table, clock = self.container.sweep.work, self.container.sweep.clock
        while True:
            due = table.find_due(clock.now(), 100)
            for receipt in (*due.transcripts, *due.backfill):
                self.container.distill.run(receipt)
            for owner in due.owners:
                self.container.consolidate.run(owner)
            self.container.project.run()
            self.container.redistill.run()
            if not (due.transcripts or due.backfill or due.owners or due.has_unsettled):
                return

    def settle(self) -> None:
        def is_settled() -> bool:
            self.work()
            return self.client.generation().is_settled

        wait_until(is_settled, "the generation is settled", 30)

    def work_at_once(self) -> None:
        """Work, and let nothing wait for its next attempt or move."""
        self.query("UPDATE transcripts SET due_at = received_at WHERE state = 'queued' RETURNING 1")
        self.query("UPDATE generation_users SET due_at = now() - interval '1 minute' RETURNING 1")
        self.work()

    def drop(self) -> None:
        self.client.drop_generation()
        self.work()
        with pytest.raises(NotFound):
            self.client.generation()

    def told(self, user: str = "alice") -> list[str]:
        return sorted(item.statement for item in self.client.recall(QUERY, user).memories)

    def query(self, statement: str) -> list[Any]:
        with self.container.database.transaction() as connection:
            return list(connection.exec_driver_sql(statement).all())

    def count_shadows(self) -> dict[str, int]:
        """Rows in every table that belong to something that is not live."""
        kept = ("transcripts", "facts", "memories", "events", "owners", "outbox")
        paid = ("replies", "ledger", "verdicts")
        found = {}
        for name in (*kept, *paid, self._points()):
            ((count,),) = self.query(
                f"SELECT count(*) FROM {name} WHERE position(E'\\x1f' IN tenant_id) > 0"
            )
            found[name] = count
        return found

    def _points(self) -> str:
        names = self.query(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE '%%minilm%%' ORDER BY 1"
        )
        return f'"{names[0][0]}"'


def plain(line: Line) -> FactDict:
    """What the model hears: with a home city, where the message begins with it."""
    said = line["content"]
    if said.startswith("Staging "):
        return fact_from(line, subject="Staging")
    if not said.startswith("My home is "):
        return fact_from(line)
    return fact_from(line, attribute="home city", value=said.split()[-1].rstrip("."))


def better(line: Line) -> FactDict:
    """With the better prompt the model says of whom it speaks."""
    return plain(line) | {"statement": line["content"].replace("I ", "Alice ", 1)}


@contextmanager
def open_world(
    database_url: str, redis_url: str, key_prefix: str, tmp_path: Path
) -> Iterator[World]:
    """The world, its API and its endpoint; the folder gets the better prompt."""
    (tmp_path / "distill_v2.md").write_text(BETTER, encoding="utf-8")

    def distil(lines: list[Line]) -> list[FactDict]:
        is_better = endpoint.chat_calls[-1].body["messages"][0]["content"] == BETTER
        heard = better if is_better else plain
        return [heard(line) for line in lines if line["role"] == "user"]

    with ScriptedEndpoint(distil) as endpoint:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            key_prefix=key_prefix,
            index_url="pgvector",
            api_port=free_port(),
            distiller="model",
            model_base_url=endpoint.base_url,
            model_api_key="k",
            verbatim="off",
            prompts_dir=tmp_path,
        )
        container = open_container(settings, make_app(settings))
        server = make_server(container)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: is_listening("127.0.0.1", settings.api_port), "the API listens")
        url = f"http://127.0.0.1:{settings.api_port}"
        with Memstill(api_url=url, redis_url="", tenant_id="acme", timeout=30.0) as client:
            yield World(container, endpoint, client)
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
        container.close()
