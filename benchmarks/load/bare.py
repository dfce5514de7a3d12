"""What workers reach that do one thing alone: ``celery -A benchmarks.load.bare worker``.

The settings of the broker are memstill's own, and so are the client and the request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import httpx2
from celery import Celery, signals

from config.logs import configure_logs
from config.settings import Settings
from pipelines.adapters.openai_chat import make_body
from pipelines.adapters.openai_client import make_openai_client, post_json
from pipelines.adapters.prompts import load_prompt
from pipelines.ports import ChatRequest
from pipelines.stages.reply import SCHEMA, SCHEMA_NAME
from workers.app import make_app

if TYPE_CHECKING:
    import openai

NO_OP, CALL = "bare.no_op", "bare.call"
QUEUE = "bare"


def make_bare_app() -> Celery:
    """An application with one queue and two tasks."""
    app = make_app(Settings())
    app.conf.update(include=[], beat_schedule={}, task_queues=None, task_default_queue=QUEUE)
    app.conf.task_routes = {}
    app.steps["consumer"].clear()
    app.steps["worker"].clear()
    app.task(name=NO_OP)(no_op)
    app.task(name=CALL)(call)
    return app


def no_op() -> None:
    """Be a task."""


def call(text: str) -> None:
    """Ask the model what memstill would ask it, and look at nothing that it answers."""
    request = ChatRequest(load_prompt("distill", "v1", None).text, text, SCHEMA_NAME, SCHEMA)
    post_json(_client(), "/chat/completions", make_body("bare", request), httpx2.Timeout(60))


@lru_cache(maxsize=1)
def _client() -> openai.OpenAI:
    settings = Settings()
    return make_openai_client(settings.model_base_url, "bare", settings.model_timeout_seconds)


@signals.setup_logging.connect  # type: ignore[untyped-decorator] # celery has no types
def _configure_logs(**_: object) -> None:
    configure_logs("info", "json")


app = make_bare_app()
