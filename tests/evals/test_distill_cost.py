"""What distilling costs: calls and prompt tokens for a session, counted at the endpoint.

The sessions are generated. For a data set of your own, one transcript in the wire format a line::

    MEMSTILL_EVAL_TRANSCRIPTS=sessions.jsonl python -m pytest tests/evals/test_distill_cost.py -s

Tokens are those of the MiniLM vocabulary, which takes every quote, bracket and comma of JSON for
one of its own: the vocabularies of chat models count about a fifth less on the same requests.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.operation import RetryPolicy
from config.policy import DistillPolicy
from memstill_client.wire import parse_transcript
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.flows.distill import Distill
from pipelines.model import Message, Owner, Role, Transcript, receipt_id
from pipelines.testing.models import InMemoryReplies, OneDistiller
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import PROMPT
from tests.endpoint import ScriptedEndpoint, facts_of_user_messages
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.endpoint import Call, FactDict, Line

MAX_CALLS, MAX_TOKENS = 1.0, 2500.0
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SAID = (
    "I went to {place} with {friend} {when}, and it was {how} in spite of the rain.",
    "That sounds {how}! How long have you been planning to go to {place} with {friend}?",
    "{friend} told me {when} that the course in {place} starts on the {number}th, so I signed up.",
    "I have been painting {number} evenings this month, it helps me to calm down after work.",
    "We adopted a dog {when}, she is {number} months old and {friend} already adores her.",
    "Wow, that is {how}. Do you still meet {friend} for dinner, or has work become too much?",
    "My doctor says that I should avoid peanuts, so {friend} cooked something else for me {when}.",
)
FILL = {
    "place": ("the lake", "Lisbon", "the new museum", "the mountains", "Aunt Clara's farm"),
    "friend": ("Nadia", "Tom", "my sister Ruth", "the kids", "Grandpa"),
    "when": ("last Friday", "yesterday", "two weeks ago", "in May", "on my birthday"),
    "how": ("wonderful", "quite hard", "so peaceful", "much fun", "a bit strange"),
    "number": tuple(map(str, range(4, 29))),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """For one session, on average."""

    calls: float
    tokens: float
    longest: int


def chats(count: int = 24, users: int = 3) -> list[Transcript]:
    """Chats of two people, some 3,000 characters each, as every run generates them."""
    chance = random.Random(20260302)
    return [
        a_chat(Owner("acme", f"user-{number % users}"), number, chance) for number in range(count)
    ]


def a_chat(owner: Owner, number: int, chance: random.Random) -> Transcript:
    start = START + timedelta(days=number)
    messages = tuple(
        Message(
            index,
            str(uuid.UUID(int=chance.getrandbits(128))),
            Role.USER,
            " ".join(a_sentence(chance) for _ in range(chance.randint(1, 3))),
            start + timedelta(minutes=index),
            ("Caroline", "Melanie")[index % 2],
        )
        for index in range(chance.randint(14, 26))
    )
    key = f"chat-{number}"
    return Transcript(receipt_id(owner, key), owner, key, start, messages, key, key)


def a_sentence(chance: random.Random) -> str:
    return chance.choice(SAID).format(**{key: chance.choice(of) for key, of in FILL.items()})


def given_transcripts() -> list[Transcript]:
    """The data set that the environment names, or the generated chats."""
    path = os.environ.get("MEMSTILL_EVAL_TRANSCRIPTS")
    if not path:
        return chats()
    lines = Path(path).read_text("utf-8").splitlines()
    pushed = [parse_transcript(line, now=datetime.now(UTC)) for line in lines]
    return [to_transcript(item, default_tenant="eval") for item in pushed]


def a_handful(lines: list[Line]) -> list[FactDict]:
    """Some messages of each session are facts."""
    return facts_of_user_messages(lines[::7])


def one_by_one(flow: Distill, transcripts: Iterable[Transcript]) -> None:
    """Each session is distilled before the next one arrives."""
    for item in transcripts:
        flow.inbox.accept([item], START)
        flow.run(item.id)


def all_at_once(flow: Distill, transcripts: Sequence[Transcript]) -> None:
    """All sessions lie there before the first one is distilled, as after a backfill."""
    flow.inbox.accept(transcripts, START)
    for item in transcripts:
        flow.run(item.id)


def measure(
    transcripts: Sequence[Transcript], arrive: Callable[[Distill, Sequence[Transcript]], None]
) -> Cost:
    """Distill them over real HTTP; every transcript must come through at its first attempt."""
    with (
        ScriptedEndpoint(a_handful) as endpoint,
        make_openai_client(endpoint.base_url, None, 30) as client,
    ):
        chat = OpenAiChatModel(client, "m", RetryPolicy())
        stores, distiller = (
            InMemoryStores(),
            ModelDistiller(chat, InMemoryReplies(), PROMPT, DistillPolicy()),
        )
        arrive(
            Distill(
                stores,
                OneDistiller(distiller),
                RecordingWaker(),
                ManualClock(START),
                lease=timedelta(minutes=5),
                max_attempts=1,
                judge=lambda *_: None,
            ),
            transcripts,
        )
    ended = [stores.status(item.owner.tenant_id, item.id).state.value for item in transcripts]
    assert {"distilled", "done"} >= set(ended)
    tokens = count_tokens(endpoint.chat_calls)
    sessions = len(transcripts)
    return Cost(len(tokens) / sessions, sum(tokens) / sessions, max(tokens))


def count_tokens(calls: Iterable[Call]) -> list[int]:
    """Of all that a model reads of each request, the schema included."""
    texts = [
        "\n".join(
            [
                *(item["content"] for item in call.body["messages"]),
                json.dumps(
                    call.body["response_format"]["json_schema"]["schema"], separators=(",", ":")
                ),
            ]
        )
        for call in calls
    ]
    return MiniLmEmbedder().count(texts)


def report(how: str, cost: Cost) -> None:
    """For whoever runs it with ``-s``."""
    print(  # noqa: T201 - the figures are what it is run for
        f"\n{how}: {cost.calls:.2f} calls and {cost.tokens:,.0f} prompt tokens a session,"
        f" {cost.longest:,} in the longest call"
    )


def test_distill_costs_one_call_when_sessions_come_one_by_one() -> None:
    """Nobody waits for company: the dearest case is one call and 2,500 tokens a session."""
    cost = measure(given_transcripts(), one_by_one)
    report("one by one", cost)
    assert cost.calls <= MAX_CALLS
    assert cost.tokens <= MAX_TOKENS


def test_distill_costs_less_when_sessions_wait_together() -> None:
    """Short sessions of one user share the fixed part of a request, and its call."""
    cost = measure(given_transcripts(), all_at_once)
    report("all at once", cost)
    assert cost.calls <= MAX_CALLS / 2
    assert cost.tokens <= MAX_TOKENS * 0.7


@pytest.mark.parametrize("arrive", [one_by_one, all_at_once])
def test_distill_costs_the_same_whatever_message_ids_look_like(
    arrive: Callable[[Distill, Sequence[Transcript]], None],
) -> None:
    """Ids of 36 characters are not sent: the model is shown numbers."""
    with_long_ids = chats(4, users=1)
    with_short_ids = [
        replace(item, messages=tuple(replace(it, id=str(it.index)) for it in item.messages))
        for item in with_long_ids
    ]
    assert measure(with_short_ids, arrive) == measure(with_long_ids, arrive)


def test_requests_begin_with_the_same_text_whoever_is_distilled() -> None:
    """A provider's prompt cache is hit by every call: prompt and schema never vary."""
    with (
        ScriptedEndpoint(a_handful) as endpoint,
        make_openai_client(endpoint.base_url, None, 30) as client,
    ):
        distiller = ModelDistiller(
            OpenAiChatModel(client, "m", RetryPolicy()), InMemoryReplies(), PROMPT, DistillPolicy()
        )
        for item in chats(6):
            distiller.distill([item], lambda: None)
    varieties: dict[str, set[str]] = defaultdict(set)
    for call in endpoint.chat_calls:
        varieties["system"].add(call.body["messages"][0]["content"])
        varieties["schema"].add(json.dumps(call.body["response_format"]))
    assert {"system": 1, "schema": 1} == {name: len(texts) for name, texts in varieties.items()}
