"""What the client's tests push, and a server on loopback that says what it is told."""

from __future__ import annotations

import json
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIPT = uuid.UUID("63994a9b-ad6b-5c2b-ac6e-cbcf9ad7415f")
SECRET = "the-secret-of-alice"
TURNS = [{"role": "user", "content": f"I live in Bern, {SECRET}."}]
FIELDS: dict[str, Any] = {"user_id": "alice", "session_id": "s-42", "messages": TURNS}
NOW = datetime(2026, 11, 20, tzinfo=UTC)
STATUS = {
    "receipt": str(RECEIPT),
    "session_id": "s-42",
    "state": "done",
    "attempts": 1,
    "counts": {"inserted": 1},
    "redactions": {"api_key": 1},
    "reason": None,
    "last_error": None,
    "received_at": "2026-11-20T10:00:00Z",
    "finished_at": "2026-11-20T10:00:02Z",
    "facts": [
        {
            "statement": "Alice lives in Bern",
            "kind": "profile",
            "outcome": "inserted",
            "reason": None,
            "memory_id": str(RECEIPT),
        }
    ],
}
RECALL = {
    "block": "<memory>Alice lives in Bern</memory>",
    "tokens": 7,
    "memories": [
        {
            "id": str(RECEIPT),
            "statement": "Alice lives in Bern",
            "kind": "profile",
            "scope": "user",
            "subject": "Alice",
            "valid_from": "2026-03-02T08:00:00Z",
            "score": 0.91,
            "quote": "I live in Bern",
            "speaker": "Alice",
            "said_at": "2026-03-02T08:00:00Z",
            "session_id": "s-42",
            "source_message_ids": ["m1"],
        }
    ],
}


def sessions(number: int) -> list[dict[str, Any]]:
    """As many different transcripts of one user."""
    return [{"schema_version": 1, **FIELDS, "session_id": f"s-{n}"} for n in range(number)]


@dataclass
class Api:
    """Answers in the order given, then 404; keeps what it was asked."""

    url: str
    answers: deque[tuple[int, object, dict[str, str]]] = field(default_factory=deque)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def say(self, status: int, body: object, **headers: str) -> None:
        self.answers.append((status, body, headers))

    def refuse(self, status: int, kind: str, where: str | None, reason: str) -> None:
        self.say(status, {"error": {"type": kind, "field": where, "reason": reason}})

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for *_, body in self.asked]


def make_handler(api: Callable[[], Api]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            api().asked.append((self.command, self.path, headers, body))
            status, said, extra = api().answers.popleft() if api().answers else (404, {}, {})
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = answer  # noqa: N815 - the name that http.server calls
        do_POST = answer  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - stdlib's name
            pass

    return Handler
