"""Files and batches of the scripted endpoint, as OpenAI's Batch API has them."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Line = dict[str, Any]
Reply = tuple[int, Line | bytes]
NOT_FOUND: Reply = (404, {"error": {"message": "nothing there", "code": "not_found"}})
OVER = frozenset({"completed", "expired", "cancelled", "failed"})


@dataclass
class StoredFile:
    """A file as it was uploaded or written by a batch."""

    id: str
    filename: str
    content: bytes

    @property
    def view(self) -> Line:
        return {"id": self.id, "object": "file", "filename": self.filename, "purpose": "batch"}


@dataclass
class StoredBatch:
    """A batch; ``lines`` are its requests as they were uploaded."""

    id: str
    input_file_id: str
    metadata: dict[str, str]
    lines: list[Line]
    status: str = "in_progress"
    created_at: int = field(default_factory=lambda: int(time.time()))
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def view(self) -> Line:
        shown = {name: value for name, value in vars(self).items() if name != "lines"}
        return shown | {"object": "batch", "endpoint": "/v1/chat/completions"}


class BatchApi:
    """Runs no batch by itself: ``end`` does.

    Args:
        answer: What a chat request is answered: status and body.

    Attributes:
        is_missing: The endpoint has no such routes.
        create_hangs_seconds: A batch is created at once, and told of so much later.
    """

    def __init__(self, answer: Callable[[Line], tuple[int, bytes]]) -> None:
        self.files: dict[str, StoredFile] = {}
        self.batches: list[StoredBatch] = []
        self.deleted: list[str] = []
        self.is_missing = False
        self.create_hangs_seconds = 0.0
        self._answer = answer
        self._made = 0
        self._lock = threading.RLock()

    def end(self, status: str = "completed", *, answered: int | None = None) -> None:
        """End every batch that runs.

        Args:
            status: One of ``OVER``.
            answered: So many requests of each have an answer; all of them if it completes, none
                otherwise.
        """
        with self._lock:
            for batch in self.batches:
                if batch.status == "in_progress":
                    self._end(batch, status, answered)

    def respond(self, method: str, address: str, body: bytes, content_type: str) -> Reply | None:
        """Status and body of an answer; None for what is no part of this API."""
        url = urlsplit(address)
        parts, query = url.path.removeprefix("/v1/").split("/"), parse_qs(url.query)
        if parts[0] not in {"files", "batches"}:
            return None
        if self.is_missing:
            return 404, {"error": {"message": "no such path", "code": "unknown_url"}}
        with self._lock:
            if (method, parts) == ("POST", ["files"]):
                return 200, self._store(*_read_upload(body, content_type)).view
            if (method, parts) == ("POST", ["batches"]):
                return self._create(json.loads(body))
            if parts[0] == "files":
                return self._respond_about_file(method, parts[1:], query)
            return self._respond_about_batch(method, parts[1:], query)

    def _respond_about_file(
        self, method: str, parts: list[str], query: dict[str, list[str]]
    ) -> Reply:
        match method, parts:
            case "GET", []:
                return 200, _page([file.view for file in self.files.values()][::-1], query)
            case "GET", [key, "content"] if key in self.files:
                return 200, self.files[key].content
            case "DELETE", [key] if key in self.files:
                del self.files[key]
                self.deleted.append(key)
                return 200, {"id": key, "object": "file", "deleted": True}
        return NOT_FOUND

    def _respond_about_batch(
        self, method: str, parts: list[str], query: dict[str, list[str]]
    ) -> Reply:
        found = next((batch for batch in self.batches if batch.id in parts), None)
        match method, parts[1:]:
            case "GET", [] if not parts:
                return 200, _page([batch.view for batch in self.batches][::-1], query)
            case "GET", [] if found:
                return 200, found.view
            case "POST", ["cancel"] if found and found.status in OVER:
                return 409, {"error": {"message": "it is over", "code": "batch_over"}}
            case "POST", ["cancel"] if found:
                self._end(found, "cancelled", 0)
                return 200, found.view
        return NOT_FOUND

    def _create(self, asked: Line) -> Reply:
        file = self.files.get(asked["input_file_id"])
        if file is None or asked["endpoint"] != "/v1/chat/completions":
            return 400, {"error": {"message": "no such file", "code": "invalid_file"}}
        lines = [json.loads(line) for line in file.content.splitlines()]
        made = StoredBatch(self._name("batch"), file.id, asked.get("metadata", {}), lines)
        self.batches.append(made)
        return 200, made.view

    def _end(self, batch: StoredBatch, status: str, answered: int | None) -> None:
        count = (len(batch.lines) if status == "completed" else 0) if answered is None else answered
        good = [self._answer_line(line) for line in batch.lines[:count]]
        bad = [{"custom_id": line["custom_id"], "response": None} for line in batch.lines[count:]]
        batch.status = status
        # In no order, as the provider warns.
        batch.output_file_id = self._write(good[::-1])
        batch.error_file_id = self._write(bad)

    def _answer_line(self, line: Line) -> Line:
        status, body = self._answer(line["body"])
        response = {"status_code": status, "request_id": "r", "body": json.loads(body)}
        return {"id": "l", "custom_id": line["custom_id"], "response": response, "error": None}

    def _write(self, lines: list[Line]) -> str | None:
        if not lines:
            return None
        return self._store("output.jsonl", b"\n".join(json.dumps(it).encode() for it in lines)).id

    def _store(self, filename: str, content: bytes) -> StoredFile:
        file = StoredFile(self._name("file"), filename, content)
        self.files[file.id] = file
        return file

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"


def _page(views: list[Line], query: dict[str, list[str]]) -> Line:
    """What comes behind ``after``, at most ``limit`` of it."""
    after, limit = query.get("after", [""])[0], int(query.get("limit", ["20"])[0])
    start = next((place + 1 for place, it in enumerate(views) if it["id"] == after), 0)
    shown = views[start : start + limit]
    return {"object": "list", "data": shown, "has_more": start + limit < len(views)}


def _read_upload(body: bytes, content_type: str) -> tuple[str, bytes]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name, content = part.get_filename(), part.get_payload(decode=True)
        if name and isinstance(content, bytes):
            return name, content
    raise AssertionError("an upload without a file")
