"""A scripted OpenAI-compatible server on loopback: real HTTP, faults on demand.

What a call gets is decided in this order: the answer of a key that occurs in its body
(``fail_on``), the next queued answer (``queue``), else the facts that ``distil`` finds.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from pipelines.testing.models import HashEmbedder
from pipelines.testing.requests import is_judgement, read_lines, read_pairs, read_question
from tests.batch_api import BatchApi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.model import Vector

Line = dict[str, Any]
FactDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scripted:
    """One HTTP answer, whole or with a fault.

    Attributes:
        declared_length: Content-Length to claim; more than is sent makes a truncated body.
        hang_seconds: Silence before the first byte.
        trickle_seconds: Pause before each byte of the body.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    declared_length: int | None = None
    hang_seconds: float = 0.0
    trickle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def is_judgement(self) -> bool:
        """Whether it asks for verdicts on pairs."""
        return is_judgement(self.body)

    @property
    def pairs(self) -> list[Line]:
        """The pairs that a judgement asks about."""
        return read_pairs(read_question(self.body))

    @property
    def lines(self) -> list[Line]:
        """The messages of the transcripts that this chat request carries, context left out.

        Each has ``id`` (the number that an answer cites), ``session``, ``time``, ``role``,
        ``content``, and ``name`` and ``part`` where the request gives them.
        """
        return [line for line in read_lines(read_question(self.body)) if not line["context"]]


def completion(
    text: str | None, *, finish_reason: str = "stop", refusal: str | None = None
) -> Scripted:
    """A chat completion with this text."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return Scripted(body=json.dumps(body).encode())


def facts(items: Sequence[FactDict]) -> Scripted:
    """A well-formed answer with these facts."""
    return completion(json.dumps({"facts": list(items)}))


def verdicts(judge: Callable[[Line], str], pairs: Sequence[Line]) -> Scripted:
    """A well-formed judgement on these pairs."""
    found = [{"pair": pair["pair"], "relation": judge(pair)} for pair in pairs]
    return completion(json.dumps({"verdicts": found}))


def status(code: int, *, retry_after: str | None = None, message: str = "scripted") -> Scripted:
    """An error answer in the provider's shape."""
    body = {"error": {"message": message, "type": "scripted", "code": "scripted_fault"}}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Scripted(code, json.dumps(body).encode(), headers=headers)


def garbage() -> Scripted:
    """Status 200 with a page that some proxy made."""
    return Scripted(body=b"<html>Bad gateway</html>", content_type="text/html")


def truncated() -> Scripted:
    """A body that ends before its declared length."""
    whole = facts([])
    return Scripted(body=whole.body[:40], declared_length=len(whole.body))


def hang(seconds: float) -> Scripted:
    """Nothing for a while, then a proper empty answer."""
    return Scripted(body=facts([]).body, hang_seconds=seconds)


def trickle(seconds_per_byte: float) -> Scripted:
    """A proper empty answer, byte by byte."""
    return Scripted(body=facts([]).body, trickle_seconds=seconds_per_byte)


def fact_from(line: Line, **changes: object) -> FactDict:
    """A grounded fact that quotes a whole message."""
    fact: FactDict = {
        "statement": line["content"],
        "subject": line.get("name", "user"),
        "kind": "knowledge",
        "quote": line["content"],
        "message_ids": [line["id"]],
        "importance": 0.5,
        "attribute": None,
        "value": None,
        "ends": False,
        "event_date": None,
    }
    return fact | changes


def facts_of_user_messages(lines: list[Line]) -> list[FactDict]:
    """The default model: each user message is a fact of its own."""
    return [fact_from(line) for line in lines if line["role"] == "user"]


def both_hold(pair: Line) -> str:
    """The default judge: values of one attribute replace each other, all else holds together."""
    return "changed" if "attribute" in pair else "both"


class ScriptedEndpoint:
    """The server as a context manager; ``base_url`` is what clients and workers are given."""

    def __init__(
        self,
        distil: Callable[[list[Line]], list[FactDict]] = facts_of_user_messages,
        embedding_size: int = 64,
        *,
        judge: Callable[[Line], str] = both_hold,
        base64_embeddings: bool = True,
    ) -> None:
        self.embedding_size = embedding_size
        self.calls: list[Call] = []
        self._distil = distil
        self._judge = judge
        self._embedder = HashEmbedder(embedding_size)
        self._base64_embeddings = base64_embeddings
        self._queue: deque[Scripted] = deque()
        self._keyed: dict[str, Scripted] = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.batch_api = BatchApi(self._answer_in_batch)
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def chat_calls(self) -> list[Call]:
        return [call for call in list(self.calls) if call.path == "/v1/chat/completions"]

    @property
    def embedding_calls(self) -> list[Call]:
        return [call for call in list(self.calls) if call.path == "/v1/embeddings"]

    def queue(self, *answers: Scripted) -> None:
        """Give the next calls these answers, in order."""
        with self._lock:
            self._queue.extend(answers)

    def fail_on(self, key: str, answer: Scripted) -> None:
        """Give every call whose body holds ``key`` this answer, until ``heal``."""
        with self._lock:
            self._keyed[key] = answer

    def heal(self) -> None:
        """Forget all faults that are scripted."""
        with self._lock:
            self._keyed.clear()
            self._queue.clear()

    def release(self) -> None:
        """Let whoever hangs have the answer now; nobody hangs any more."""
        self._released.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Release whoever hangs, then wait until the last handler has ended."""
        self._released.set()
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()
        self._thread.join()

    def answer(self, call: Call) -> Scripted:
        """Record a call and choose what it gets."""
        text = json.dumps(call.body, ensure_ascii=False)
        with self._lock:
            self.calls.append(call)
            fault = self._find_fault(text)
            if fault is None and self._queue:
                return self._queue.popleft()
        return fault or self._usual_answer(call)

    def note_sent(self, call: Call, answer: Scripted) -> None:
        """A whole answer went out; one that its caller had no more ear for did not."""

    def _find_fault(self, text: str) -> Scripted | None:
        return next((answer for key, answer in self._keyed.items() if key in text), None)

    def answer_batch_api(
        self, method: str, path: str, body: bytes, content_type: str
    ) -> Scripted | None:
        """What files and batches get, by ``fail_on("POST /v1/batches", …)`` a fault; else None."""
        with self._lock:
            fault = self._find_fault(f"{method} {path}")
            found = None if fault else self.batch_api.respond(method, path, body, content_type)
        if found is None:
            return fault
        code, answer = found
        hangs = (method, path) == ("POST", "/v1/batches")
        return Scripted(
            code,
            answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
            hang_seconds=self.batch_api.create_hangs_seconds if hangs else 0.0,
        )

    def _answer_in_batch(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """As a live call with this body, which is not counted as one."""
        fault = self._find_fault(json.dumps(body, ensure_ascii=False))
        answer = fault or self._usual_answer(Call("/v1/chat/completions", body, {}))
        return answer.status, answer.body

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the server."""
        self._released.wait(seconds)

    def _usual_answer(self, call: Call) -> Scripted:
        if call.is_judgement:
            return verdicts(self._judge, call.pairs)
        if call.path == "/v1/chat/completions":
            return facts(self._distil(call.lines))
        if call.path == "/v1/embeddings":
            return self._embeddings(call)
        return status(404, message="no such path")

    def _embeddings(self, call: Call) -> Scripted:
        wants_base64 = call.body.get("encoding_format") == "base64" and self._base64_embeddings
        vectors = self._embedder.embed(call.body["input"])
        data = [
            {
                "object": "embedding",
                "index": index,
                # Twice the length, so that whoever needs unit vectors has to see to it.
                "embedding": _encode(vector * 2, wants_base64=wants_base64),
            }
            for index, vector in enumerate(vectors)
        ]
        return Scripted(body=json.dumps({"object": "list", "data": data}).encode())


def _encode(vector: Vector, *, wants_base64: bool) -> str | list[float]:
    if wants_base64:
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        self.endpoint = endpoint
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._is_closing = False
        super().__init__(("127.0.0.1", 0), _Handler)

    def track(self, connection: socket.socket) -> None:
        with self._guard:
            self._connections.add(connection)
            if self._is_closing:
                _shut(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._guard:
            self._connections.discard(connection)

    def drop_connections(self) -> None:
        """Idle keep-alive connections hold their handlers for ever otherwise."""
        with self._guard:
            self._is_closing = True
            for connection in self._connections:
                _shut(connection)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.track(self.connection)

    def finish(self) -> None:
        self.server.forget(self.connection)
        try:
            super().finish()
        except OSError:
            return

    def handle(self) -> None:
        """A client that was killed or gave up is nothing to report."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        raw = self.rfile.read(length)
        if self._send_batch_api(raw):
            return
        body = json.loads(raw)
        call = Call(self.path, body, {name.lower(): text for name, text in self.headers.items()})
        answer = self.server.endpoint.answer(call)
        self._send(answer)
        self.server.endpoint.note_sent(call, answer)

    def do_GET(self) -> None:
        if not self._send_batch_api(b""):
            self._send(status(404, message="no such path"))

    do_DELETE = do_GET  # noqa: N815 - as its base class names it

    def _send_batch_api(self, body: bytes) -> bool:
        kind = self.headers.get("Content-Type", "")
        found = self.server.endpoint.answer_batch_api(self.command, self.path, body, kind)
        if found is not None:
            self._send(found)
        return found is not None

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _send(self, answer: Scripted) -> None:
        if answer.hang_seconds:
            self.server.endpoint.pause(answer.hang_seconds)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        length = len(answer.body) if answer.declared_length is None else answer.declared_length
        self.send_header("Content-Length", str(length))
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self._send_body(answer)
        if answer.declared_length is not None:
            self.close_connection = True

    def _send_body(self, answer: Scripted) -> None:
        if not answer.trickle_seconds:
            self.wfile.write(answer.body)
            return
        for position in range(len(answer.body)):
            self.server.endpoint.pause(answer.trickle_seconds)
            self.wfile.write(answer.body[position : position + 1])
