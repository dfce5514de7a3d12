"""What changes in a life is known as it is now, through a model and without one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from config.settings import Settings
from pipelines.adapters import openai_client
from pipelines.model import MemoryState, Owner, TranscriptState
from tests.builders import make_fact, make_memory
from tests.endpoint import ScriptedEndpoint
from tests.evals.stories import (
    TENANT,
    Story,
    Verdict,
    find_facts,
    judge_pair,
    judge_story,
    load_stories,
    states,
)
from workers.app import make_app
from workers.container import Container, open_container

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openai import OpenAI

    from pipelines.model import Memory

_THEMES = {
    "city", "job", "phone plan", "diet", "pet count", "deadline moved twice", "retraction",
    "late-arriving old session", "two subjects", "set-valued attribute",
}  # fmt: skip
_MIN_STORIES = 60
_MIN_RIGHT = {"offline": 0.80, "model": 0.95}
_THREADS = 4


@pytest.fixture(params=["offline", "model"])
def container(
    request: pytest.FixtureRequest,
    database_url: str,
    redis_url: str,
    key_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Container]:
    """One deployment for all stories, with the real flows and without a worker."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(ScriptedEndpoint(find_facts, judge=judge_pair))
        _close_clients(stack, monkeypatch)
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            key_prefix=key_prefix,
            index_url="pgvector",
            distiller=request.param,
            model_base_url=endpoint.base_url,
        )
        opened = open_container(settings, make_app(settings))
        stack.callback(opened.close)
        yield opened


def _close_clients(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the connections to the endpoint, which a process keeps until it ends."""
    make = openai_client.make_openai_client

    def make_and_close(base_url: str | None, key: str | None, timeout: float) -> OpenAI:
        return stack.enter_context(make(base_url, key, timeout))

    monkeypatch.setattr(openai_client, "make_openai_client", make_and_close)


def test_stories_cover_every_theme_with_contents_of_their_own() -> None:
    """At least sixty stories, each theme told; the same words never mean two things."""
    stories = load_stories()
    contents = [
        turn.content
        for story in stories
        for session in story.sessions
        for turn in session.turns
        if turn.role == "user"
    ]

    assert len(stories) >= _MIN_STORIES
    assert len(stories) == len({story.id for story in stories})
    assert _THEMES <= {story.theme for story in stories}
    assert [] == [content for content, count in Counter(contents).items() if count > 1]


def test_stories_end_in_current_truth_when_all_sessions_arrived(container: Container) -> None:
    """Current truth is right in enough of the stories, and nothing was retired wrongly."""
    with ThreadPoolExecutor(_THREADS) as pool:
        verdicts = list(pool.map(partial(_tell, container), load_stories()))

    report = _report(verdicts)
    assert [] == [item.story.id for item in verdicts if item.wrongly_retired], report
    share = sum(item.is_right for item in verdicts) / len(verdicts)
    assert share >= _MIN_RIGHT[container.settings.distiller], report


def _tell(container: Container, story: Story) -> Verdict:
    owner = Owner(TENANT, story.id)
    for number, transcript in enumerate(story.transcripts()):
        if number:
            container.project.run()
        container.ingest.run([transcript])
        container.distill.run(transcript.id)
        outcome = container.consolidate.run(owner)
        state = container.inbox.status(TENANT, transcript.id).state
        assert TranscriptState.DONE is state, f"{transcript.session_id} is {state}: {outcome}"
    return judge_story(story, container.store.export_memories(TENANT, story.id, None, 1000))


def _report(verdicts: Sequence[Verdict]) -> str:
    wrong = [verdict for verdict in verdicts if not verdict.is_right]
    lines = [f"{len(verdicts) - len(wrong)} of {len(verdicts)} right", *map(str, wrong)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("pattern", "statement", "expected"),
    [
        ("liv berlin", "User lives in Berlin.", True),
        ("liv berlin", "User moved to Berlin.", False),
        ("2|two dogs", "User: We have two dogs now!", True),
        ("2 dogs", "User has 12 dogs since 2026.", False),
        ("berlin !from", "User moved from Berlin to Rome.", False),
        ("laid_off", "User got laid off.", True),
    ],
)
def test_pattern_asks_for_words_together(pattern: str, statement: str, *, expected: bool) -> None:
    """Words may begin longer ones, numbers stand for themselves, "!" excludes."""
    assert expected is states(statement, pattern)


_STORY = Story(
    "s", "city", (), (), current=("liv rome",), over=("liv berlin",), kept=("likes tea",)
)


@pytest.mark.parametrize(
    ("memories", "missing", "stale", "wrongly_retired"),
    [
        (["User lives in Rome.", "User likes tea.", "-User lives in Berlin."], [], [], []),
        (
            ["User lives in Rome.", "User lives in Berlin.", "User likes tea."],
            [],
            ["User lives in Berlin."],
            [],
        ),
        (
            ["User lives in Rome.", "-User likes tea."],
            ["likes tea"],
            [],
            ["User likes tea."],
        ),
        (
            ["User lives in Rome.", "User likes tea.", "-User has a cat."],
            [],
            [],
            ["User has a cat."],
        ),
        (
            ["User lives in Rome.", "User likes tea.", "User no longer lives in Berlin."],
            [],
            [],
            [],
        ),
    ],
)
def test_verdict_says_what_is_missing_stale_or_wrongly_retired(
    memories: list[str], missing: list[str], stale: list[str], wrongly_retired: list[str]
) -> None:
    """Only what is over may be retired, what is over may not be stated, all else stands."""
    verdict = judge_story(_STORY, [_remembered(text) for text in memories])

    assert (missing, stale, wrongly_retired) == (
        list(verdict.missing),
        list(verdict.stale),
        list(verdict.wrongly_retired),
    )


def _remembered(text: str) -> Memory:
    """A memory of a statement; a minus before it says that it was superseded."""
    state = MemoryState.SUPERSEDED if text.startswith("-") else MemoryState.ACTIVE
    return make_memory(make_fact(text.removeprefix("-"), session=text), state=state)
