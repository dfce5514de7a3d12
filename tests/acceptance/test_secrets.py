"""Planted secrets and masked personal data: they are found nowhere afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import redis

from tests.acceptance.deployment import free_port, wait_until
from tests.acceptance.places import files, redis_content, rows
from tests.acceptance.planted import NEEDLES, PLANTED, found_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.acceptance.deployment import Deployment
    from tests.endpoint import ScriptedEndpoint

CITY = "I live in Lisbon."


def session(number: int) -> dict[str, Any]:
    """One planted secret, said by everybody and standing in the metadata."""
    text = PLANTED[number].text
    return {
        "schema_version": 1,
        "user_id": f"user-{number % 8}",
        "session_id": f"s-{number}",
        "started_at": f"2026-03-02T09:{number:02}:00Z",
        "messages": [
            {"role": "user", "content": f"{CITY} And {text}"},
            {"role": "assistant", "content": f"Understood: {text}"},
            {"role": "tool", "name": "shell", "content": json.dumps({"output": text})},
            {
                "role": "assistant",
                "content": "",
                "tool_call": {"name": "run", "arguments": json.dumps({"input": text})},
            },
        ],
        "metadata": {"note": text, "all": [{"deep": text}], text: "as a key"},
    }


PUSHED = [json.dumps(session(number)).encode() for number in range(len(PLANTED))]


def requests(endpoint: ScriptedEndpoint) -> Iterator[bytes]:
    for call in list(endpoint.calls):
        yield json.dumps([call.path, call.body, call.headers], ensure_ascii=False).encode()


@pytest.fixture
def stream(modelled: Deployment) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(modelled.env["MEMSTILL_REDIS_URL"]) as client:
        yield client


@pytest.fixture
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all processes of this run write their logs, the servers' too."""
    return tmp_path_factory.getbasetemp()


def stream_key(deployment: Deployment) -> str:
    return f"{deployment.env['MEMSTILL_KEY_PREFIX']}:transcripts"


def wait_done(deployment: Deployment, client: redis.Redis, total: int) -> None:
    """All sessions are done, all memories are in the index, nothing waits in the Stream."""
    wait_until(
        lambda: (
            deployment.query("SELECT state, count(*) FROM transcripts GROUP BY state")
            == [("done", total)]
        ),
        f"{total} transcripts are done",
    )
    wait_until(lambda: deployment.query("SELECT count(*) FROM outbox") == [(0,)], "all is indexed")
    wait_until(lambda: client.xlen(stream_key(deployment)) == 0, "the Stream is empty")


def leaks(
    deployment: Deployment,
    client: redis.Redis,
    logs: Path,
    endpoint: ScriptedEndpoint,
    needles: Collection[str] = NEEDLES,
) -> dict[str, set[str]]:
    """What was found where."""
    places = {
        "postgresql": rows(deployment),
        "redis": redis_content(client),
        "logs": files(logs, "*.log*"),
        "requests": requests(endpoint),
    }
    return {
        place: found for place, chunks in places.items() if (found := found_in(chunks, needles))
    }


def counted(deployment: Deployment) -> int:
    """Secrets that were taken out, as the receipts count them."""
    ((total,),) = deployment.query(
        "SELECT sum(value::int) FROM transcripts, jsonb_each_text(body->'redactions')"
    )
    return int(total)


def test_planted_secrets_are_forty_of_twenty_formats_and_really_pushed() -> None:
    """The search finds every one of them in what is pushed."""
    assert (40, 40, 20) == (len(PLANTED), len(NEEDLES), len({item.form for item in PLANTED}))
    assert NEEDLES == found_in(PUSHED)


def test_planted_secrets_are_nowhere_when_they_were_pushed_over_the_stream(
    modelled: Deployment, stream: redis.Redis, endpoint: ScriptedEndpoint, logs: Path
) -> None:
    """Rows, keys, logs and every request to the models: none of the forty is in any of them."""
    for body in PUSHED:
        stream.xadd(stream_key(modelled), {"transcript": body})
    assert NEEDLES == found_in(redis_content(stream))

    modelled.start_beat()
    modelled.start_worker()
    wait_done(modelled, stream, len(PUSHED))

    assert {} == leaks(modelled, stream, logs, endpoint)
    assert endpoint.chat_calls
    assert endpoint.embedding_calls
    assert CITY in str(endpoint.chat_calls)
    assert modelled.memories("user-1")
    assert counted(modelled) >= 6 * len(PLANTED)


def test_planted_secrets_are_nowhere_when_they_were_pushed_over_http(
    modelled: Deployment, stream: redis.Redis, endpoint: ScriptedEndpoint, logs: Path
) -> None:
    """The same over the API; recall answers without them, and an index in files holds none."""
    index = modelled.logs / "index"
    url = f"http://127.0.0.1:{(port := free_port())}"
    modelled.env |= {"MEMSTILL_API_PORT": str(port), "MEMSTILL_INDEX_URL": f"edge:{index}"}
    modelled.start_beat()
    worker = modelled._start("worker", "-P", "threads", "-c", "8", "--api")
    with httpx2.Client(base_url=url, timeout=30) as http:
        wait_until(lambda: is_ready(http), "the API is ready")
        answers = [http.post("/v1/transcripts", content=body) for body in PUSHED]
        assert [202] * len(PUSHED) == [answer.status_code for answer in answers]
        wait_done(modelled, stream, len(PUSHED))
        recalled = [
            http.post("/v1/recall", json={"user_id": f"user-{number}", "query": CITY}).content
            for number in range(8)
        ]
    worker.terminate()
    assert 0 == worker.wait(30)

    assert {} == leaks(modelled, stream, logs, endpoint)
    assert set() == found_in(recalled)
    assert all(b"Lisbon" in answer for answer in recalled)
    in_files = list(files(index, "*"))
    assert set() == found_in(in_files)
    assert any(b"user-1" in content for content in in_files)


def test_planted_secrets_are_nowhere_when_the_transcript_is_a_dead_letter(
    modelled: Deployment, stream: redis.Redis, endpoint: ScriptedEndpoint, logs: Path
) -> None:
    """What cannot be read is kept with its reason, without any of them."""
    refused = [json.dumps(session(number) | {"schema_version": 9}) for number in range(40)]
    named = [
        json.dumps(session(number) | {item.text: 1, "user_id": item.text})
        for number, item in enumerate(PLANTED)
    ]
    broken = [body[:-2] for body in refused]
    fields: list[dict[Any, Any]] = [{"transcript": body} for body in (*refused, *named, *broken)]
    fields += [{"body": json.dumps([item.text for item in PLANTED])}]
    for entry in fields:
        stream.xadd(stream_key(modelled), entry)
    assert NEEDLES == found_in(redis_content(stream))

    modelled.start_worker()
    wait_until(
        lambda: (
            modelled.query("SELECT state, count(*) FROM transcripts GROUP BY state")
            == [("dead", len(fields))]
        ),
        "all are dead letters",
    )
    wait_until(lambda: stream.xlen(stream_key(modelled)) == 0, "the Stream is empty")

    assert {} == leaks(modelled, stream, logs, endpoint)
    kept = modelled.query("SELECT body->>'unreadable', reason FROM transcripts")
    assert all("[redacted:" in payload for payload, _ in kept)
    assert all(reason for _, reason in kept)


MASKED = ["alice.q@example.com", "+49 170 5551234", "536-90-4399", "DE89 3704 0044 0532 0130 00"]
KEPT = ["bob.q@example.com", "+49 170 5559876", "219-09-9999", "GB82 WEST 1234 5698 7654 32"]


def test_personal_data_is_nowhere_when_the_tenant_s_policy_masks_it(
    modelled: Deployment, stream: redis.Redis, endpoint: ScriptedEndpoint, logs: Path
) -> None:
    """One tenant's mails, phones and ids never leave the intake; another's are kept."""
    modelled.env |= {"MEMSTILL_PERSONAL_DATA": '{"default": "keep", "tenants": {"acme": "mask"}}'}
    for tenant, values in (("acme", MASKED), ("globex", KEPT)):
        said = session(0) | {
            "tenant_id": tenant,
            "messages": [{"role": "user", "content": f"{CITY} Reach me: {'; '.join(values)}"}],
            "metadata": {"all": values},
        }
        stream.xadd(stream_key(modelled), {"transcript": json.dumps(said)})

    modelled.start_beat()
    modelled.start_worker()
    wait_done(modelled, stream, 2)

    assert {} == leaks(modelled, stream, logs, endpoint, MASKED)
    assert {"postgresql": set(KEPT), "requests": set(KEPT)} == leaks(
        modelled, stream, logs, endpoint, KEPT
    )
    ((masked, counts),) = modelled.query(
        "SELECT statement, body->'redactions' FROM memories JOIN transcripts USING (tenant_id)"
        " WHERE tenant_id = 'acme'"
    )
    assert f"{CITY} Reach me: [email-1]; [phone-1]; [national-id-1]; [iban-1]" == masked
    assert {"email": 2, "phone": 2, "national-id": 2, "iban": 2} == counts


def is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False
