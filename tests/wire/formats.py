"""Every wire and stored format: what the present code writes, and what it makes of it."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from config.operation import RetryPolicy
from config.schedule import Job
from memstill_client.appending import make_arguments
from memstill_client.checkpoint_replies import LoadedCheckpoint
from memstill_client.endpoints import _read_stack
from memstill_client.erasures import Erasure as ErasureReply
from memstill_client.errors import InvalidTranscript, Refused
from memstill_client.pushes import Push
from memstill_client.recalls import Recall
from memstill_client.replies import Accepted, ErrorReply, Status
from memstill_client.tasks import _Progress
from memstill_client.wire import SCHEMA_VERSION, content_hash, parse_transcript, to_json
from pipelines import formats
from pipelines.adapters import session_values
from pipelines.adapters.archive_files import read_manifest, spell_manifest
from pipelines.adapters.collection import payload_of, read_scanned
from pipelines.adapters.hot_checkpoints import read_hot, write_hot
from pipelines.adapters.openai_batches import OpenAiBatches
from pipelines.adapters.paid_chat import request_hash
from pipelines.adapters.postgres import projection_gate as gate
from pipelines.adapters.postgres.checkpoint_rows import make_row, read_checkpoint, read_link
from pipelines.adapters.postgres.events import event_rows
from pipelines.adapters.postgres.inbox_rows import unreadable_body
from pipelines.adapters.postgres.log_snapshots import move_mark, read_mark, read_snapshot
from pipelines.adapters.postgres.old_events import spell_event
from pipelines.adapters.postgres.rows import (
    fact_row,
    memory_row,
    read_fact,
    read_transcript,
    transcript_body,
)
from pipelines.adapters.postgres.schema import mark_value, read_mark_value
from pipelines.errors import InputError, NewerFormat
from pipelines.flows.checkpoint import Loaded
from pipelines.flows.history import Told
from pipelines.model import FactId, fact_id, memory_id
from pipelines.ports import CarriedVerdict, MemoryEvent, PreparedRequest
from pipelines.stages.carrying import CarriedSession
from pipelines.stages.checkpoints.chain import rebuild
from pipelines.stages.dedup import statement_key
from pipelines.stages.event_log import Entry, fold, spell_known, to_memory
from pipelines.stages.injection.fence import fence, strip_fenced
from pipelines.stages.keys import KeyId, hash_secret, read_key, spell_key
from pipelines.stages.merging.relate import Relation
from pipelines.stages.rank import Ranked
from pipelines.stages.reply import SCHEMA, parse_reply
from tests.builders import ALICE, START
from tests.wire import content
from workers import schemas
from workers.app import app
from workers.checkpoint_routes import loaded_json
from workers.embedded.endpoints import Endpoints
from workers.erase_routes import erasure_view
from workers.exchange_routes import session_view, verdict_view
from workers.exchanges.document import make_document, read_document
from workers.exports import export_record
from workers.intake import StreamIntake
from workers.views import history_view, memory_view, recalled_view, status_view
from workers.waker import CeleryWaker

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"
EXTRA = {"of_a_newer_release": 1}


@dataclass(frozen=True, slots=True)
class Wire:
    """One format.

    Attributes:
        write: Its invented content, as the present release writes it, as JSON.
        read: What the present release makes of it.
        newer: How an unknown ``schema_version`` is refused; None where there is none in it.
        refuses: It has strict fields: one that is unknown is refused. Others are passed over.
    """

    name: str
    version: int
    write: Callable[[], Any]
    read: Callable[[Any], Any]
    newer: type[Exception] | None = None
    refuses: bool = False

    @property
    def versions(self) -> range:
        """Those that are read: the one before, too."""
        return range(max(1, self.version - 1), self.version + 1)

    def golden(self, version: int) -> Path:
        """The file of a version."""
        return GOLDEN / f"{self.name.replace(' ', '-')}-{version}.json"

    def load(self, version: int) -> Any:  # noqa: ANN401 - JSON
        """What the file of a version holds."""
        return json.loads(self.golden(version).read_text(encoding="utf-8"))

    def written(self) -> Any:  # noqa: ANN401 - JSON
        """What the present release writes, as plain JSON."""
        return to_jsonable_python(self.write())


# ---- what travels --------------------------------------------------------------------------------


def _write_pushed() -> Any:  # noqa: ANN401
    return json.loads(to_json(content.TRANSCRIPT_V1))


def _read_pushed(pushed: Any) -> Any:  # noqa: ANN401
    return parse_transcript(json.dumps(pushed), now=content.NOW)


def _write_entry() -> dict[str, str]:
    push = Push(to_json(content.TRANSCRIPT_V1), None, None, "backfill")
    _, _, field, lane_field, _, body, lane, _ = make_arguments("key", [push], 10)
    return {str(field): cast("bytes", body).decode(), str(lane_field): str(lane)}


def _read_entry(entry: dict[str, Any]) -> Any:  # noqa: ANN401
    intake = StreamIntake(
        cast("Any", None),
        cast("Any", None),
        cast("Any", _Clock()),
        cast("Any", _Policy()),
        key_prefix="test",
        default_tenant="default",
    )
    read = intake.read_entry((b"1-0", {k.encode(): str(v).encode() for k, v in entry.items()}))
    assert read is not None
    return intake._taking.read(read)


class _Clock:
    def now(self) -> Any:  # noqa: ANN401
        return content.NOW


class _Policy:
    max_bytes = 1_000_000


class _Recorder:
    """Stands for the Celery application: keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def producer_or_acquire(self) -> _Recorder:
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def send_task(self, task: str, args: tuple[str, ...], *, queue: str, **_: object) -> None:
        self.sent.append({"task": task, "args": list(args), "kwargs": {}, "queue": queue})


def _write_wakeups() -> list[dict[str, Any]]:
    recorder = _Recorder()
    waker = CeleryWaker(cast("Any", recorder))
    waker.wake_distill([content.RECEIPT])
    waker.wake_distill([content.RECEIPT], content.TRANSCRIPT.lane)
    waker.wake_consolidate([ALICE])
    waker.wake_index()
    waker.wake_redistill()
    waker.wake_share("acme")
    # Jobs may be added: a worker that does not know one drops a wake-up, and no work.
    sweep = app.conf.beat_schedule[Job.SWEEP]
    return [*recorder.sent, {"task": sweep["task"], "args": sweep["args"], "kwargs": {}}]


def _read_wakeups(sent: list[dict[str, Any]]) -> list[str]:
    """The tasks of this release that take the messages, also with arguments that it has not."""
    app.loader.import_default_modules()
    for message in sent:
        run = app.tasks[message["task"]].run
        inspect.signature(run).bind(*message["args"], **message["kwargs"], **EXTRA)
    return sorted({message["task"] for message in sent})


# ---- what is answered ----------------------------------------------------------------------------


def _write_receipt() -> Any:  # noqa: ANN401
    return schemas.Pushed(receipt=content.RECEIPT, duplicate=False)


def _write_error() -> Any:  # noqa: ANN401
    problem = schemas.Problem(type="invalid_transcript", field="user_id", reason="is required")
    return schemas.Error(error=problem)


def _write_recalled() -> dict[str, Any]:
    ranked = Ranked(content.MEMORY, 0.5)
    return recalled_view(replace(content.RECOLLECTION, memories=(ranked,)))


def _write_memory() -> dict[str, Any]:
    return memory_view(content.CLOSED)


def _write_export() -> dict[str, Any]:
    return export_record(to_jsonable_python(memory_view(content.CLOSED)))


def _write_document() -> dict[str, Any]:
    fact = content.FACT
    session = CarriedSession(
        source=fact.owner,
        session_id=fact.session_id,
        idempotency_key="k-1",
        content_hash="0" * 64,
        started_at=START,
        facts=(fact,),
        memory_ids=(content.MEMORY.id,),
    )
    verdict = CarriedVerdict("0" * 32, Relation.BOTH, "person")
    return make_document(
        fact.owner.tenant_id,
        content.NOW.isoformat(),
        [memory_view(content.MEMORY)],
        [session_view(session)],
        [verdict_view(verdict) | {"user_id": fact.owner.user_id}],
    )


# ---- what is stored ------------------------------------------------------------------------------


def _stored(value: object) -> Any:  # noqa: ANN401
    return orjson.loads(orjson.dumps(value))


def _read_body(body: dict[str, Any]) -> Any:  # noqa: ANN401
    this = content.TRANSCRIPT
    row = {
        "receipt": this.id,
        "tenant_id": this.owner.tenant_id,
        "user_id": this.owner.user_id,
        "lane": this.lane.value,
        "copy_of": None,
        "traceparent": None,
        **{
            name: getattr(this, name)
            for name in (
                "session_id",
                "agent_id",
                "started_at",
                "time_zone",
                "idempotency_key",
                "content_hash",
            )
        },
    }
    return read_transcript(row, body)


def _read_unreadable(body: dict[str, Any]) -> str:
    formats.UNREADABLE_BODY.check(body["schema_version"])
    payload: str = body["unreadable"]
    return payload


def _write_events() -> list[Any]:
    rows = event_rows(content.PLAN, content.NOW)
    return [
        _stored({name: row[name] for name in ("schema_version", "name", "body")}) for row in rows
    ]


def _read_events(rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    for row in rows:
        formats.EVENT.check(row["schema_version"])
    told = [MemoryEvent(1, content.NOW, row["name"], row["body"]) for row in rows]
    shown = history_view(Told(content.MEMORY, (), tuple(told)))["events"]
    return [(event["name"], event["version"], event["reason"]) for event in shown]


def _write_snapshot() -> Any:  # noqa: ANN401
    entries = [Entry(content.MEMORY.id, row["name"], row["body"]) for row in _write_events()]
    return spell_known(fold(entries), formats.EVENT_SNAPSHOT.version)


def _read_snapshot(value: dict[str, Any]) -> Any:  # noqa: ANN401
    ((key, known),) = read_snapshot(value).items()
    return to_memory(key, ALICE, known, None)


def _write_archived() -> Any:  # noqa: ANN401
    row = event_rows(content.PLAN, content.NOW)[0]
    return json.loads(spell_event({"seq": 7, **row}))


def _read_evidence(items: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    return read_fact(fact_row(content.FACT) | {"evidence": items}).evidence


def _write_identities() -> dict[str, str]:
    fact: FactId = fact_id(content.RECEIPT, 0)
    return {
        "receipt": str(content.TRANSCRIPT.id),
        "content_hash": content_hash(content.TRANSCRIPT_V1),
        "fact": str(fact),
        "memory": str(memory_id(fact)),
        "statement_key": statement_key("Alice prefers trains."),
        "request_hash": request_hash("small-1", content.REQUEST, content.PAID_FOR),
        "subject_key": content.ERASURE.subject_key,
        "embedding": memory_row(content.MEMORY, content.NOW)["embedding"].hex(),
    }


def _write_line() -> Any:  # noqa: ANN401
    name = request_hash("small-1", content.REQUEST, content.PAID_FOR)
    request = PreparedRequest(name, content.REQUEST, content.PAID_FOR, 40)
    return json.loads(_batches()._line(request))


def _read_line(line: dict[str, Any]) -> Any:  # noqa: ANN401
    answered = {
        "custom_id": line["custom_id"],
        "response": {"status_code": 200, "body": content.COMPLETION},
    }
    return _batches()._read_line(json.dumps(answered).encode())


def _batches() -> OpenAiBatches:
    return OpenAiBatches(cast("Any", None), "small-1", RetryPolicy())


def _write_reply() -> Any:  # noqa: ANN401
    asked = cast("Any", SCHEMA)["properties"]["facts"]["items"]["required"]
    return {"facts": [{name: content.DRAFTED[name] for name in asked}]}


def _read_reply(reply: Any) -> Any:  # noqa: ANN401
    return parse_reply(json.dumps(reply), [content.ASKED])


def _write_session() -> Any:  # noqa: ANN401
    kept = (
        session_values.write_message(content.SAID)[1:],
        session_values.write_episode(content.EPISODE, "w-1"),
        session_values.write_state({"page": 2}),
    )
    return [orjson.loads(raw) for raw in kept]


def _read_session(kept: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    message, episode, state = map(orjson.dumps, kept)
    return (
        session_values.read_message(b"." + message),
        session_values.read_episode(episode),
        session_values.read_state(state),
    )


def _write_working() -> Any:  # noqa: ANN401
    kept = session_values.write_item(content.ITEM), session_values.write_summary(content.SUMMARY)
    return [orjson.loads(raw.partition(b"\n")[2]) for raw in kept]


def _read_working(kept: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    item, summary = (b"i-1\n" + orjson.dumps(found) for found in kept)
    return session_values.read_item(item), session_values.read_summary(summary)


def _write_endpoints() -> Any:  # noqa: ANN401
    return Endpoints(
        pid=1, api_url="http://h:1", redis_url="redis://h:2", database_url="postgresql://h:3/d"
    ).model_dump(mode="json")


def _read_endpoints(found: dict[str, Any]) -> Any:  # noqa: ANN401
    return Endpoints.model_validate(found), _read_stack(Path("endpoints.json"), found)


def _write_key() -> dict[str, str]:
    return {"key": spell_key(KeyId("a" * 16), "b" * 43), "digest": hash_secret("b" * 43).hex()}


def _read_key_again(found: dict[str, str]) -> Any:  # noqa: ANN401
    return read_key(found["key"]), found["digest"]


def _write_block() -> dict[str, str]:
    block = fence(content.BLOCK_LINES, user_id="alice", at=START.date())
    return {"prompt": f"Be brief.\n\n{block}\n"}


def _read_block(found: dict[str, str]) -> str:
    return strip_fenced(found["prompt"]).strip()


def _write_checkpoints() -> list[dict[str, Any]]:
    rows = [
        make_row(content.DRAFT, None, 1, 0),
        make_row(content.NEXT_DRAFT, content.DRAFT.id, 2, 1),
    ]
    return [
        {name: row[name] for name in _STORED} | {"content": row["content"].decode()} for row in rows
    ]


_STORED = ("schema_version", "sequence", "base", "depth", "sha256", "bytes", "metadata")


def _read_checkpoints(rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    first, second = (
        make_row(content.DRAFT, None, 1, 0),
        make_row(content.NEXT_DRAFT, content.DRAFT.id, 2, 1),
    )
    chain = [
        read_link(made | row | {"content": row["content"].encode(), "base": made["base"]})
        for made, row in zip((first, second), rows, strict=True)
    ]
    return rebuild(chain)


def _write_hot() -> dict[str, Any]:
    head, _, state = write_hot(content.HOT).partition(b"\n")
    return {"head": json.loads(head), "state": state.decode()}


def _read_hot(entry: dict[str, Any]) -> Any:  # noqa: ANN401
    found = read_hot(json.dumps(entry["head"]).encode() + b"\n" + entry["state"].encode())
    if found is None:
        raise NewerFormat("an entry of another version is as good as none")
    return found


def _write_loaded() -> Any:  # noqa: ANN401
    row = make_row(content.NEXT_DRAFT, content.DRAFT.id, 2, 1)
    loaded = Loaded(read_checkpoint(row), content.NEXT_DRAFT.state, content.NEXT_DRAFT.id)
    return json.loads(loaded_json(loaded))


def _read_task(state: dict[str, Any]) -> Any:  # noqa: ANN401
    found = LoadedCheckpoint.model_validate(_write_loaded() | {"state": state})
    return _Progress.resume(found)


def _of(form: formats.Format, write: Callable[[], Any], read: Callable[[Any], Any]) -> Wire:
    return Wire(form.name, form.version, write, read, NewerFormat)


FORMATS = (
    Wire(
        "transcript", SCHEMA_VERSION, _write_pushed, _read_pushed, InvalidTranscript, refuses=True
    ),
    Wire("stream entry", 1, _write_entry, _read_entry),
    Wire("wake-ups", 1, _write_wakeups, _read_wakeups),
    Wire("receipt answer", 1, _write_receipt, Accepted.model_validate),
    Wire("error answer", 1, _write_error, ErrorReply.model_validate),
    Wire("status answer", 1, lambda: status_view(content.STATUS), Status.model_validate),
    Wire("recall answer", 1, _write_recalled, Recall.model_validate),
    Wire("memory answer", 1, _write_memory, export_record),
    Wire(
        "erasure receipt",
        1,
        partial(erasure_view, content.ERASURE, timedelta(days=30)),
        ErasureReply.model_validate,
    ),
    Wire("checkpoint answer", 1, _write_loaded, LoadedCheckpoint.model_validate),
    Wire("task state", 1, content.PROGRESS.state, _read_task, Refused),
    Wire("recall block", 1, _write_block, _read_block),
    Wire("export record", 1, _write_export, lambda record: (record["id"], record["text"])),
    Wire("export", formats.EXPORT.version, _write_document, read_document, InputError),
    Wire("batch line", 1, _write_line, _read_line),
    Wire("endpoints", 1, _write_endpoints, _read_endpoints, ValidationError),
    Wire("api key", 1, _write_key, _read_key_again),
    _of(formats.TRANSCRIPT_BODY, lambda: _stored(transcript_body(content.TRANSCRIPT)), _read_body),
    _of(formats.UNREADABLE_BODY, lambda: unreadable_body("no JSON"), _read_unreadable),
    Wire(
        "fact evidence",
        1,
        lambda: _stored(fact_row(content.FACT)["evidence"]),
        _read_evidence,
    ),
    _of(formats.EVENT, _write_events, _read_events),
    _of(formats.CHECKPOINT, _write_checkpoints, _read_checkpoints),
    Wire("hot checkpoint", 1, _write_hot, _read_hot, NewerFormat),
    Wire("stored reply", 1, _write_reply, _read_reply),
    Wire("identities", 1, _write_identities, dict),
    Wire(
        "index point", 1, lambda: payload_of(content.POINT), partial(read_scanned, content.RANDOM)
    ),
    _of(formats.REBUILD, lambda: _stored(gate._rebuild_value(content.REBUILD)), gate._read_rebuild),
    _of(formats.ROUND, lambda: _stored(gate._round_value(content.ROUND)), gate._read_round),
    _of(formats.SESSION_ENTRY, _write_session, _read_session),
    _of(formats.WORKING_MEMORY, _write_working, _read_working),
    _of(formats.EVENT_SNAPSHOT, _write_snapshot, _read_snapshot),
    _of(formats.ARCHIVED, lambda: spell_manifest(content.ARCHIVED), read_manifest),
    Wire("archived event", 1, _write_archived, lambda line: line["body"]),
    _of(formats.SETTLED_MARK, lambda: move_mark(None, 7, 40, 40), read_mark),
    _of(formats.SCHEMA_MARK, lambda: mark_value("0015"), read_mark_value),
)
