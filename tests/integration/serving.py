"""An API in this process, on a container of its own, and the keys that open it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from config.settings import Settings
from pipelines.adapters.postgres import PostgresKeys
from pipelines.flows.keys import ManageKeys
from pipelines.stages.keys import KeyScope
from tests.acceptance.deployment import free_port, wait_until
from workers.api import make_server
from workers.app import make_app
from workers.clock import SystemClock
from workers.container import Container, open_container
from workers.embedded.children import is_listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.flows.keys import NewKey


class Served:
    """A running API that asks for keys."""

    def __init__(self, container: Container) -> None:
        self.container = container
        settings = container.settings
        self.url = f"http://{settings.api_host}:{settings.api_port}"
        self.http = httpx2.Client(base_url=self.url, timeout=30.0)
        self.keys = ManageKeys(PostgresKeys(container.database), SystemClock())

    def make_key(
        self, tenant_id: str = "acme", *scopes: KeyScope, user_id: str | None = None
    ) -> NewKey:
        """A key with all scopes if none is named."""
        return self.keys.create(tenant_id, "test", scopes or tuple(KeyScope), user_id=user_id)

    def ask(
        self,
        key: NewKey | str | None,
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401 - whatever httpx2 takes
    ) -> httpx2.Response:
        """Ask with a key, given as a whole or as the text of the header."""
        headers = dict(request.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = key if isinstance(key, str) else f"Bearer {key.text}"
        return self.http.request(method, path, headers=headers, **request)

    def work(self) -> None:
        """What a worker would do, once, in this thread."""
        flows = self.container
        now = SystemClock().now
        for receipt in flows.sweep.work.find_due(now(), 1000).transcripts:
            flows.distill.run(receipt)
        for owner in flows.sweep.work.find_due(now(), 1000).owners:
            flows.consolidate.run(owner)
        flows.project.run()


@contextmanager
def serve(
    database_url: str, redis_url: str, key_prefix: str, auth: str, **more: str
) -> Iterator[Served]:
    """Serve until the block ends."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "key_prefix": key_prefix,
            "index_url": "pgvector",
            "api_port": free_port(),
            "auth": auth,
            **more,
        }
    )
    container = open_container(settings, make_app(settings))
    server = make_server(container)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: is_listening(settings.api_host, settings.api_port), "the API listens")
    served = Served(container)
    try:
        yield served
    finally:
        served.http.close()
        server.should_exit = True
        thread.join(10)
        container.close()
    assert not thread.is_alive()


def session(user: str, *said: str, name: str = "s1", **changes: object) -> dict[str, Any]:
    """A transcript of a user."""
    return {
        "schema_version": 1,
        "user_id": user,
        "session_id": name,
        "started_at": "2026-03-02T09:00:00Z",
        "messages": [{"role": "user", "content": text} for text in said],
        **changes,
    }
