"""An OpenAI-compatible endpoint in a process of its own, as slow as it is told to be.

    python -m benchmarks.load.endpoint --port 8399 --latency 0.5

Each user message of a transcript comes back as a fact that quotes it, each text as the same vector
every time. It answers many at once, and takes little of the machine that it shares with what is
measured.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any, cast

import orjson
import typer

from benchmarks.load.vectors import vector_of
from pipelines.testing.requests import is_judgement, read_lines, read_pairs, read_question

HOST = "127.0.0.1"
SIZE = 1536
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Endpoint(asyncio.Protocol):
    """One connection of a client, kept open from call to call."""

    answered = 0

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= _length_of(head):
            self._received = b""
            reply = _answer(head.split(b" ", 2)[1], body)
            # A chat model thinks; embeddings are back at once.
            is_chat = b"/chat/" in head[:80]
            wait = self._latency if is_chat else 0.0
            Endpoint.answered += is_chat
            asyncio.get_running_loop().call_later(wait, self._send, reply)

    def _send(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_JSON % (len(reply), reply))


def _length_of(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    found = [line for line in lines if line.startswith(b"content-length:")]
    return int(found[0].split(b":")[1]) if found else 0


def _answer(path: bytes, body: bytes) -> bytes:
    if path == b"/v1/answered":
        return orjson.dumps({"answered": Endpoint.answered})
    request = orjson.loads(body)
    if path.endswith(b"/embeddings"):
        return orjson.dumps({"object": "list", "data": _vectors(request["input"])})
    question = read_question(request)
    answer = _judge(question) if is_judgement(request) else _distill(question)
    return orjson.dumps(_completion(orjson.dumps(answer).decode()))


def _distill(question: str) -> dict[str, Any]:
    said = [line for line in read_lines(question) if line["role"] == "user" and not line["context"]]
    return {"facts": [_fact(line) for line in said]}


def _fact(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "statement": line["content"],
        "subject": "user",
        "kind": "event",
        "quote": line["content"],
        "message_ids": [line["id"]],
        "importance": 0.5,
        "attribute": None,
        "value": None,
        "ends": False,
        "event_date": None,
    }


def _judge(question: str) -> dict[str, Any]:
    pairs = read_pairs(question)
    return {"verdicts": [{"pair": pair["pair"], "relation": "both"} for pair in pairs]}


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }


def _vectors(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"object": "embedding", "index": place, "embedding": _vector(text)}
        for place, text in enumerate(texts)
    ]


def _vector(text: str) -> str:
    return base64.b64encode(vector_of(text, SIZE).tobytes()).decode()


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(latency), HOST, port, backlog=512)
    async with server:
        await server.serve_forever()


def main(
    port: Annotated[int, typer.Option(min=1, max=65535)],
    latency: Annotated[float, typer.Option(min=0, help="Seconds before a chat answer.")] = 0.5,
) -> None:
    """Serve until it is ended."""
    asyncio.run(_serve(port, latency))


if __name__ == "__main__":
    typer.run(main)
