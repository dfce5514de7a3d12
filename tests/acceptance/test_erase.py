"""Erasing while everything is under way: real workers, real servers, and words to be found."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import httpx2
import pytest
import redis

from memstill_client import Memstill, MemstillError, NotFound
from tests.acceptance.deployment import Deployment, free_port, wait_until
from tests.acceptance.places import files, redis_content, rows
from tests.acceptance.planted import found_in
from tests.acceptance.test_road import session
from tests.endpoint import hang

if TYPE_CHECKING:
    from tests.endpoint import ScriptedEndpoint

# Long enough to be recognised in base 64.
CANARY = "quagga-of-madame-tussaud"
FORGOTTEN = "alice-who-wants-to-be-forgotten"


class Load:
    """Users who go on pushing, over both roads, until it is told to stop."""

    def __init__(self, deployment: Deployment, api_url: str) -> None:
        self._clients = [deployment.client(), Memstill(api_url=api_url, redis_url="")]
        self.receipts: dict[str, list[object]] = {FORGOTTEN: [], "bob": [], "carol": []}
        self._stops = {user: threading.Event() for user in self.receipts}
        self._threads = {
            user: [
                threading.Thread(target=self._push, args=(user, road, client))
                for road, client in zip(("stream", "http"), self._clients, strict=True)
            ]
            for user in self.receipts
        }

    def __enter__(self) -> Self:
        for threads in self._threads.values():
            for thread in threads:
                thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for user in self.receipts:
            self.stop(user)
        for client in self._clients:
            client.close()

    def stop(self, user: str) -> None:
        self._stops[user].set()
        for thread in self._threads[user]:
            thread.join()

    def _push(self, user: str, road: str, client: Memstill) -> None:
        number = 0
        while not self._stops[user].wait(0.2):
            number += 1
            name = f"{user}-{road}-{number}"
            with suppress(MemstillError):
                said = f"I keep {number} {CANARY if user == FORGOTTEN else 'dog'}s at {name}."
                self.receipts[user].append(
                    client.enqueue(
                        session(
                            name,
                            said,
                            user=user,
                            at=f"2025-{1 + number % 12:02}-{1 + number % 28:02}",
                        )
                    )
                )


@pytest.fixture
def api_url(modelled: Deployment) -> str:
    """The API as a process of its own, beside two workers and beat."""
    port = free_port()
    modelled.env |= {
        "MEMSTILL_API_PORT": str(port),
        "MEMSTILL_DISTILL_LEASE_SECONDS": "4",
        "MEMSTILL_SCHEDULE": '{"sweep": 0.5, "erase": 0.5}',
        "MEMSTILL_ERASE_SETTLE_SECONDS": "2",
    }
    modelled.start_beat()
    for _ in range(2):
        modelled.start_worker()
    modelled.start_api()
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: is_ready(url), "the API is ready")
    return url


def is_ready(url: str) -> bool:
    """Whether the API serves."""
    try:
        return httpx2.get(f"{url}/readyz", timeout=5).is_success
    except httpx2.TransportError:
        return False


def test_erased_under_load_a_user_is_nowhere_and_the_others_are_whole(
    modelled: Deployment, endpoint: ScriptedEndpoint, api_url: str
) -> None:
    """From the answer on no path shows a byte; after the purge none is left, in logs neither."""
    endpoint.fail_on(f"I keep 7 {CANARY}", hang(1.0))
    with Memstill(api_url=api_url, redis_url="") as client, Load(modelled, api_url) as load:

        def is_known() -> bool:
            return bool(client.recall(CANARY, FORGOTTEN).memories)

        wait_until(is_known, "something of alice is remembered")
        wait_until(lambda: len(load.receipts[FORGOTTEN]) > 30, "alice has pushed a lot")
        load.stop(FORGOTTEN)
        own = client.put_procedure(f"feed the {CANARY}", [f"call the {CANARY}"], FORGOTTEN)
        shared = client.put_procedure("feed the animals", ["call them"])
        for made in (own, shared):
            client.record_outcome(made.id, f"{CANARY}-1", FORGOTTEN, worked=True)
        client.checkpoints.save(FORGOTTEN, CANARY, {"said": CANARY}, metadata={"of": FORGOTTEN})
        client.checkpoints.fork(FORGOTTEN, CANARY, f"{CANARY}-2")
        pushed = list(load.receipts[FORGOTTEN])
        running = client.session(FORGOTTEN, "running")
        running.append({"role": "user", "content": f"And a {CANARY}.", "name": FORGOTTEN})
        running.add_episode(f"She bought a {CANARY}.")
        running.save_state({"seen": CANARY})
        running.remember(f"She asked about a {CANARY}.")
        assert {CANARY, FORGOTTEN} == found_in(rows(modelled), (CANARY, FORGOTTEN))

        receipt = client.erase(FORGOTTEN)

        assert [] == list(client.recall(CANARY, FORGOTTEN).memories)
        assert [] == list(client.memories(FORGOTTEN))
        assert ((), (), None) == (
            running.context(), client.episodes(FORGOTTEN), running.load_state()
        )  # fmt: skip
        assert [] == list(client.checkpoints.threads(FORGOTTEN))
        for item in pushed:
            with pytest.raises(NotFound):
                client.status(item)  # type: ignore[arg-type]
        wait_until(lambda: client.erasure(receipt.id).state == "verified", "it is proven", 60)
        proven = client.erasure(receipt.id)
        load.stop("bob")
        load.stop("carol")
        others = [item for user in ("bob", "carol") for item in load.receipts[user]]
        modelled.wait_final(*others)  # type: ignore[arg-type]
        assert [] == list(client.recall(CANARY, FORGOTTEN).memories)

    assert 0 == sum(proven.found.values())
    assert proven.removed["transcripts"] >= 1
    assert (2, 2) == (proven.removed["agent_checkpoints"], proven.removed["hot checkpoints"])
    with redis.Redis.from_url(modelled.env["MEMSTILL_REDIS_URL"]) as server:
        places = (rows(modelled), redis_content(server), files(modelled.logs, "*.log"))
        found = [found_in(place, (CANARY, FORGOTTEN)) for place in places]
    assert [set(), set(), set()] == found
    assert {"bob", "carol"} == {row[0] for row in modelled.query("SELECT user_id FROM memories")}
    for user in ("bob", "carol"):
        cited = {item.session_id for row in modelled.memories(user) for item in row.evidence}
        assert len(load.receipts[user]) == len(cited)
