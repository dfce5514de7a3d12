"""An OpenAI-compatible server on loopback that answers with recorded model outputs.

    python -m benchmarks.recorded_endpoint DATASET_DIR --port 8399
    MEMSTILL_DISTILLER=model MEMSTILL_MODEL_BASE_URL=http://127.0.0.1:8399/v1 memstill eval ...

What memstill pays a model for is so repeatable without one: real HTTP, the real prompt, the real
schema, and facts that a real model once found. Sessions that were not recorded get no facts.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path  # noqa: TC003 - typer reads signatures at run time
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console

from benchmarks.recording import Recording, Truth, load_recording
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.testing.requests import is_judgement, read_lines, read_pairs, read_question

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.recording import RecordedSession, Wording
    from pipelines.ports import TokenCounter

HOST = "127.0.0.1"
CHARS_PER_TOKEN = 4
_CHAT = "/v1/chat/completions"


def as_recorded(text: str) -> str:
    """The words of the recording."""
    return text


@dataclass(slots=True)
class Counts:
    """What was asked for; tokens as the answers report them, and by characters."""

    calls: int = 0
    judgements: int = 0
    pairs: int = 0
    prompt_tokens: int = 0
    prompt_chars: int = 0

    @property
    def tokens_by_chars(self) -> int:
        """Prompt tokens at four characters each, about what English takes."""
        return self.prompt_chars // CHARS_PER_TOKEN


class RecordedEndpoint:
    """The server as a context manager; ``base_url`` is what memstill is given.

    Attributes:
        wording: In which words facts are told; may be exchanged between two sessions.
        judge: Answers to a pair ``same``, ``changed`` or ``both``.
        counts: What was asked for so far.
        asked: The pairs that were judged.

    Args:
        sessions: What was recorded.
        tokens: Counts the tokens that answers report; by characters if not given.
    """

    def __init__(
        self,
        sessions: Sequence[RecordedSession],
        *,
        wording: Wording = as_recorded,
        judge: Callable[[dict[str, Any]], str] | None = None,
        tokens: TokenCounter | None = None,
        port: int = 0,
    ) -> None:
        self.recording = Recording(sessions)
        self.wording = wording
        self.judge = judge or Truth(sessions, [as_recorded]).judge
        self.counts = Counts()
        self.asked: list[dict[str, Any]] = []
        self._tokens = tokens
        self._lock = threading.Lock()
        self._server = _Server((HOST, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion with facts or verdicts."""
        question = read_question(body)
        with self._lock:
            content = self._judge(question) if is_judgement(body) else self._distill(question)
            text = json.dumps(content, ensure_ascii=False)
            usage = self._count(body, text)
        return _completion(str(body.get("model")), text, usage)

    def _distill(self, question: str) -> dict[str, Any]:
        return {"facts": self.recording.answer(list(read_lines(question)), self.wording)}

    def _judge(self, question: str) -> dict[str, Any]:
        pairs = read_pairs(question)
        self.counts.judgements += 1
        self.counts.pairs += len(pairs)
        self.asked += pairs
        return {
            "verdicts": [{"pair": pair["pair"], "relation": self.judge(pair)} for pair in pairs]
        }

    def _count(self, body: dict[str, Any], answer: str) -> dict[str, int]:
        """Of all that a model reads of a request, the schema included."""
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        prompt = "\n".join(
            (
                *(item["content"] for item in body["messages"]),
                json.dumps(schema, separators=(",", ":")),
            )
        )
        usage = [self._count_tokens(prompt), self._count_tokens(answer)]
        self.counts.calls += 1
        self.counts.prompt_tokens += usage[0]
        self.counts.prompt_chars += len(prompt)
        return {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }

    def _count_tokens(self, text: str) -> int:
        if self._tokens is None:
            return len(text) // CHARS_PER_TOKEN
        return self._tokens.count([text])[0]


def _completion(model: str, text: str, usage: dict[str, int]) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-recorded",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], endpoint: RecordedEndpoint) -> None:
        self.endpoint = endpoint
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if self.path == _CHAT:
            self._send(200, self.server.endpoint.answer(body))
        else:
            self._send(404, {"error": {"message": f"only {_CHAT} is recorded"}})

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main(
    dataset: Annotated[Path, typer.Argument(help="Folder with replay_observations.jsonl.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8399,
) -> None:
    """Serve until Ctrl-C, then say what was asked for."""
    console = Console(stderr=True, highlight=False)
    sessions = load_recording(dataset)
    with RecordedEndpoint(sessions, tokens=MiniLmEmbedder(), port=port) as endpoint:
        console.print(f"{len(sessions)} sessions; MEMSTILL_MODEL_BASE_URL={endpoint.base_url}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print(str(endpoint.counts))


if __name__ == "__main__":
    typer.run(main)
