"""The Batch API of an endpoint over real HTTP: files go in, files come out."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from config.operation import RetryPolicy
from pipelines.adapters.openai_batches import OpenAiBatches
from pipelines.adapters.openai_client import make_openai_client
from pipelines.errors import ModelRefused, ModelUnavailable, NoBatches
from pipelines.ports import (
    BatchId,
    BatchOutcome,
    BatchProgress,
    ChatRequest,
    PaidFor,
    PreparedRequest,
    Purpose,
)
from pipelines.stages.cost import Usage
from tests import endpoint as script
from tests.builders import ALICE
from tests.endpoint import ScriptedEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports import BatchAnswer

RETRY = RetryPolicy(in_call_attempts=3, in_call_wait=timedelta(milliseconds=5))
KEY = "sk-very-secret-key"


def prepare(name: str, said: str) -> PreparedRequest:
    lines = ['{"session":1,"time_zone":"UTC"}', '["Monday"]', json.dumps([0, "user", said])]
    request = ChatRequest("You distill.", "\n".join(lines), "facts", {"type": "object"})
    return PreparedRequest(name, request, PaidFor(ALICE, Purpose.DISTILL), 100)


REQUESTS = [prepare("hash-tea", "I like tea."), prepare("hash-jazz", "I like jazz, 爵士.")]


@dataclass
class World:
    endpoint: ScriptedEndpoint
    batches: OpenAiBatches

    def hand_in(self, *, batch_id: BatchId | None = None) -> str:
        key = batch_id or BatchId(uuid.uuid4())
        return self.batches.create(key, self.batches.upload(key, REQUESTS))

    def answers(self, provider_id: str) -> dict[str, BatchAnswer]:
        files = self.batches.look(provider_id).files
        return {answer.request_hash: answer for answer in self.batches.read(files)}


@pytest.fixture
def world() -> Iterator[World]:
    with ScriptedEndpoint() as server, make_openai_client(server.base_url, KEY, 5) as client:
        yield World(server, OpenAiBatches(client, "small", RETRY, budget_seconds=5))


def test_lines_of_a_batch_ask_what_a_live_call_asks(world: World) -> None:
    """One JSON object a line, named by the hash of its request."""
    world.hand_in()
    (batch,) = world.endpoint.batch_api.batches
    assert ["hash-tea", "hash-jazz"] == [line["custom_id"] for line in batch.lines]
    first = batch.lines[0]
    assert ("POST", "/v1/chat/completions") == (first["method"], first["url"])
    assert ("small", "json_schema") == (
        first["body"]["model"],
        first["body"]["response_format"]["type"],
    )
    assert ["system", "user"] == [message["role"] for message in first["body"]["messages"]]


def test_batch_is_over_when_the_provider_says_so(world: World) -> None:
    """Its answers are read from the file, with what they cost."""
    provider_id = world.hand_in()
    assert BatchProgress() == world.batches.look(provider_id)
    world.endpoint.batch_api.end()

    answers = world.answers(provider_id)
    assert BatchOutcome.COMPLETED is world.batches.look(provider_id).outcome
    assert {"hash-tea", "hash-jazz"} == answers.keys()
    reply = answers["hash-jazz"].reply
    assert reply is not None
    assert ("I like jazz, 爵士.", 11, 7) == (
        json.loads(reply.text)["facts"][0]["quote"],
        reply.prompt_tokens,
        reply.completion_tokens,
    )


def test_expired_batch_has_some_answers(world: World) -> None:
    """What was not answered says so."""
    provider_id = world.hand_in()
    world.endpoint.batch_api.end("expired", answered=1)
    answers = world.answers(provider_id)
    assert BatchOutcome.EXPIRED is world.batches.look(provider_id).outcome
    assert answers["hash-tea"].reply is not None
    assert (None, Usage()) == (answers["hash-jazz"].reply, answers["hash-jazz"].usage)


def test_useless_answers_are_told_with_what_they_cost(world: World) -> None:
    """Cut off is paid, refused is not."""
    world.endpoint.fail_on("tea", script.completion("{", finish_reason="length"))
    world.endpoint.fail_on("jazz", script.status(500))
    provider_id = world.hand_in()
    world.endpoint.batch_api.end()
    answers = world.answers(provider_id)
    assert (None, Usage(11, 7)) == (answers["hash-tea"].reply, answers["hash-tea"].usage)
    assert (None, Usage()) == (answers["hash-jazz"].reply, answers["hash-jazz"].usage)


def test_unreadable_lines_are_left_out(world: World) -> None:
    """The others are read."""
    provider_id = world.hand_in()
    world.endpoint.batch_api.end()
    (output,) = world.batches.look(provider_id).files
    file = world.endpoint.batch_api.files[output]
    file.content = b"<html>\n\n" + file.content.splitlines()[0] + b'\n{"custom_id": 7}\n'
    assert ["hash-jazz"] == list(world.answers(provider_id))


def test_batch_is_found_by_our_name_for_it(world: World) -> None:
    """Among others, over several pages, the oldest first."""
    batch_id = BatchId(uuid.uuid4())
    now = datetime.now(UTC)
    assert [] == world.batches.find_created(batch_id, now)
    assert world.batches.find_upload(batch_id) is None
    first = world.hand_in(batch_id=batch_id)
    file_id = world.batches.find_upload(batch_id)
    for _ in range(120):
        world.endpoint.batch_api.respond(
            "POST",
            "/v1/batches",
            json.dumps({"input_file_id": file_id, "endpoint": "/v1/chat/completions"}).encode(),
            "application/json",
        )
    assert file_id is not None
    second = world.batches.create(batch_id, file_id)
    assert [first, second] == world.batches.find_created(batch_id, now)
    assert [] == world.batches.find_created(BatchId(uuid.uuid4()), now)


def test_files_are_deleted_and_gone_ones_hold_nothing(world: World) -> None:
    """Collecting again after a crash finds nothing, and that is no error."""
    provider_id = world.hand_in()
    world.endpoint.batch_api.end()
    files = world.batches.look(provider_id).files
    world.batches.forget([*files, "file-1", "never-was"])
    assert {} == world.endpoint.batch_api.files
    assert [] == list(world.batches.read(files))


def test_batch_is_cancelled_once(world: World) -> None:
    """One that is over stays as it is, and nobody minds."""
    provider_id = world.hand_in()
    for _ in range(2):
        world.batches.cancel(provider_id)
    world.batches.cancel("never-was")
    assert BatchOutcome.CANCELLED is world.batches.look(provider_id).outcome


def test_unknown_batch_has_failed(world: World) -> None:
    """The provider has lost it: nobody waits for it."""
    assert BatchOutcome.FAILED is world.batches.look("never-was").outcome


@pytest.mark.parametrize("code", [400, 404, 405])
def test_endpoint_without_batches_is_told_from_one_that_fails(world: World, code: int) -> None:
    """Whatever step it is at."""
    world.endpoint.fail_on("POST /v1/files", script.status(code))
    with pytest.raises(NoBatches):
        world.hand_in()
    world.endpoint.heal()
    world.endpoint.fail_on("POST /v1/batches", script.status(code))
    with pytest.raises(NoBatches, match=f"no Batch API for small: the endpoint answered {code}"):
        world.hand_in()


def test_endpoint_with_a_wrong_key_is_not_one_without_batches(world: World) -> None:
    """That can be put right."""
    world.endpoint.fail_on("POST /v1/files", script.status(401))
    with pytest.raises(ModelRefused) as caught:
        world.hand_in()
    assert (False, 401) == (isinstance(caught.value, NoBatches), caught.value.status)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("answer", [script.status(503), script.garbage(), script.truncated()])
def test_batch_is_created_in_one_try(
    world: World, answer: script.Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying again might pay twice: whoever asked looks first whether it is there."""
    asked: list[str] = []
    answer_batch_api = world.endpoint.answer_batch_api

    def count(method: str, path: str, body: bytes, kind: str) -> script.Scripted | None:
        asked.append(f"{method} {path}")
        return answer_batch_api(method, path, body, kind)

    monkeypatch.setattr(world.endpoint, "answer_batch_api", count)
    world.endpoint.fail_on("POST /v1/batches", answer)
    with pytest.raises(ModelUnavailable):
        world.hand_in()
    assert ["POST /v1/files", "POST /v1/batches"] == asked
