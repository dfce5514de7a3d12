"""The adapter against a scripted transport: what the server may answer beside success."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from qdrant_client import QdrantClient

from pipelines.adapters.qdrant_server import QdrantServerIndex
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.model import Owner

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = Owner("acme", "alice")
COLLECTION = "/collections/memstill.some-model-8"
NAME = COLLECTION.removeprefix("/collections/")
ALIAS = f"{NAME}.live"
FIELDS = {
    "tenant_id",
    "user_id",
    "scope",
    "session_id",
    "version",
    "state",
    "valid_from",
    "valid_to",
}


def make_index(answer: Callable[[httpx.Request], httpx.Response]) -> QdrantServerIndex:
    """An index whose every request is answered by a function."""
    client = QdrantClient(
        url="http://qdrant.test",
        check_compatibility=False,
        timeout=1,
        transport=httpx.MockTransport(answer),
    )
    return QdrantServerIndex(client, "memstill", "some-model", 8)


class Server:
    """A server of some version, with or without the collection; records what it is asked."""

    def __init__(
        self,
        version: str = "1.20.0",
        *,
        size: int = 8,
        raced: bool = False,
        points: int | None = None,
        fields: tuple[str, ...] = (),
        live: str | None = None,
    ) -> None:
        self.version = version
        self.size = size
        self.raced = raced
        self.points = points
        self.fields = fields
        self.live = live
        self.requests: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.requests.append((request.method, request.url.path, body))
        if request.url.path == "/":
            return httpx.Response(200, json={"title": "qdrant", "version": self.version})
        if request.url.path == "/collections":
            return self._ok({"collections": [] if self.points is None else [{"name": NAME}]})
        if request.url.path == "/aliases":
            found = {"alias_name": ALIAS, "collection_name": self.live}
            return self._ok({"aliases": [found] if self.live else []})
        if request.method == "PUT" and request.url.path.count("/") == 2 and self.raced:
            return httpx.Response(409, json={"status": {"error": "already exists"}})
        if request.method == "PUT" and request.url.path.endswith("/index"):
            return self._ok({"operation_id": 1, "status": "completed"})
        return self._ok(self._collection() if request.method == "GET" else True)

    def _ok(self, result: object) -> httpx.Response:
        return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.1})

    def _collection(self) -> dict[str, Any]:
        optimizer = {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        }
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": {
                "params": {"vectors": {"dense": {"size": self.size, "distance": "Cosine"}}},
                "hnsw_config": {"m": 0, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": optimizer,
            },
            "points_count": self.points or 0,
            "payload_schema": {
                name: {"data_type": "keyword", "points": self.points or 0} for name in self.fields
            },
        }


def test_prepare_partitions_by_tenant_when_the_collection_is_new() -> None:
    """No graph over everybody's points; fields are indexed, tenants kept together on disk."""
    server = Server()
    make_index(server).prepare()
    created = [body for method, _, body in server.requests if method == "PUT"]
    collection, *fields = created
    assert {"m": 0, "payload_m": 16} == collection["hnsw_config"]
    assert {"lexical": {"modifier": "idf"}} == collection["sparse_vectors"]
    schemas = {field["field_name"]: field["field_schema"] for field in fields}
    assert FIELDS == set(schemas)
    assert schemas["tenant_id"]["is_tenant"] is True
    linked = {name for name, schema in schemas.items() if schema["enable_hnsw"]}
    assert {"user_id"} == linked


def test_prepare_goes_on_when_another_process_created_the_collection_first() -> None:
    """Of workers that start together one creates; the others find it made."""
    server = Server(raced=True)
    make_index(server).prepare()
    assert len(FIELDS) == len([path for _, path, _ in server.requests if path.endswith("/index")])


def test_prepare_makes_the_collection_anew_when_its_layout_is_old() -> None:
    """Points without a state would never be found: the collection goes, to be filled again."""
    server = Server(points=7, fields=("tenant_id", "user_id"))
    make_index(server).prepare()
    changes = [(method, path) for method, path, _ in server.requests if method != "GET"]
    assert [("DELETE", COLLECTION), ("PUT", COLLECTION)] == changes[:2]


def test_prepare_names_the_collection_of_an_earlier_release_when_it_has_no_alias() -> None:
    """A plain collection is brought over by naming it: nothing is copied and nothing dropped."""
    server = Server(points=7, fields=("state",))
    make_index(server).prepare()
    changes = [item for item in server.requests if item[1] == "/collections/aliases"]
    create = {"create_alias": {"collection_name": NAME, "alias_name": ALIAS}}
    assert [("POST", "/collections/aliases", {"actions": [create]})] == changes


def test_switch_moves_the_alias_in_one_request() -> None:
    """The alias names the one before or the one after, at no time none."""
    server = Server(points=7, fields=("state",), live=NAME)
    make_index(server).switch("12345678")
    (change,) = [body for _, path, body in server.requests if path == "/collections/aliases"]
    delete, create = change["actions"]
    assert {"delete_alias": {"alias_name": ALIAS}} == delete
    moved = {"collection_name": f"{NAME}.12345678", "alias_name": ALIAS}
    assert {"create_alias": moved} == create


@pytest.mark.parametrize(("points", "fields"), [(7, ("state",)), (0, ())])
def test_prepare_keeps_the_collection_when_its_layout_fits(
    points: int, fields: tuple[str, ...]
) -> None:
    """A filled one of this layout stays, and so does one that another process is just making."""
    server = Server(points=points, fields=fields)
    make_index(server).prepare()
    assert COLLECTION not in {path for method, path, _ in server.requests if method != "GET"}


@pytest.mark.parametrize("version", ["1.18.9", "1.9.0", "0.11.2"])
def test_prepare_refuses_when_the_server_is_too_old(version: str) -> None:
    """A server that weighs words over all tenants' points is refused by its version."""
    with pytest.raises(ConfigurationError, match=r"1\.19 or newer"):
        make_index(Server(version)).prepare()


def test_prepare_refuses_when_the_collection_has_another_size() -> None:
    """A collection made by hand with another size is no place for these vectors."""
    with pytest.raises(ConfigurationError, match="size 16"):
        make_index(Server(size=16)).prepare()


@pytest.mark.parametrize("status", [401, 403])
def test_calls_name_the_setting_when_the_key_is_refused(status: int) -> None:
    """A wrong key does not mend itself: it is a matter of configuration."""
    index = make_index(lambda _: httpx.Response(status, json={}))
    with pytest.raises(ConfigurationError, match="MEMSTILL_INDEX_API_KEY"):
        index.prepare()


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json={}),
        httpx.Response(503, text="busy"),
        httpx.Response(429, json={}, headers={"Retry-After": "3"}),
        httpx.Response(404, json={"status": {"error": "no such collection"}}),
        httpx.Response(200, text="<html>a proxy's page</html>"),
    ],
)
def test_calls_are_unavailable_when_the_server_answers_badly(response: httpx.Response) -> None:
    """Whatever comes instead of an answer is a passing fault, and its body is not repeated."""
    with pytest.raises(IndexUnavailable) as failure:
        make_index(lambda _: response).count(ALICE)
    assert "proxy" not in str(failure.value)


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
def test_calls_are_unavailable_when_the_connection_fails(fault: type[httpx.TransportError]) -> None:
    """A server that is away, silent or cut off is a passing fault."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise fault("no")

    with pytest.raises(IndexUnavailable, match=fault.__name__):
        make_index(fail).count(ALICE)
