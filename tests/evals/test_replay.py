"""What is known and told again, in the same words or in others, does not grow the memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.settings import Settings
from pipelines.model import Message, Owner, Role, Transcript, receipt_id
from tests.builders import START
from tests.endpoint import ScriptedEndpoint, fact_from
from workers.app import make_app
from workers.container import Container, open_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.endpoint import FactDict, Line

_FILE = Path(__file__).with_name("retold.txt")
_OWNER = Owner("replay", "nadia")
_YEAR = timedelta(weeks=52)
_MIN_STATEMENTS = 60
_MAX_GROWTH = 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """A message, and what is distilled from it the first and the second time."""

    said: str
    statement: str
    reworded: str


def load_sessions() -> list[list[Told]]:
    """The sessions that are written beside this module."""
    text = _FILE.read_text("utf-8").partition("\n")[2].strip()
    return [
        [Told(*(part.strip() for part in line.split("|"))) for line in session.splitlines()]
        for session in text.split("\n\n")
    ]


class Model:
    """A model that words what it finds as it is told to, and judges by the truth or not."""

    def __init__(self) -> None:
        self._by_content = {told.said: told for session in load_sessions() for told in session}
        self._by_wording = {
            wording: told.statement
            for told in self._by_content.values()
            for wording in (told.statement, told.reworded)
        }
        self.rewords = False
        self.knows_truth = True

    def distil(self, lines: list[Line]) -> list[FactDict]:
        return [fact_from(line, statement=self._word(line["content"])) for line in lines]

    def judge(self, pair: Line) -> str:
        one, other = (self._by_wording[pair[side]["statement"]] for side in "ab")
        return "same" if self.knows_truth and one == other else "both"

    def _word(self, content: str) -> str:
        told = self._by_content[content]
        return told.reworded if self.rewords else told.statement


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def container(
    model: Model, database_url: str, redis_url: str, key_prefix: str
) -> Iterator[Container]:
    """The real flows, to which everything was told once."""
    with ScriptedEndpoint(model.distil, judge=model.judge) as endpoint:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            key_prefix=key_prefix,
            index_url="pgvector",
            distiller="model",
            model_base_url=endpoint.base_url,
        )
        opened = open_container(settings, make_app(settings))
        try:
            tell(opened, 1)
            yield opened
        finally:
            opened.close()


def tell(container: Container, time: int) -> None:
    """All sessions, for the first or the second time, each before the next one arrives."""
    for number, session in enumerate(load_sessions()):
        at = START + timedelta(days=number) + (time - 1) * _YEAR
        key = f"session-{number}-{time}"
        messages = tuple(
            Message(index, f"m{index}", Role.USER, told.said, at, "Nadia")
            for index, told in enumerate(session)
        )
        transcript = Transcript(
            receipt_id(_OWNER, key), _OWNER, key, at, messages, key, content_hash=key
        )
        container.ingest.run([transcript])
        container.distill.run(transcript.id)
        container.consolidate.run(_OWNER)
        container.project.run()


def statements(container: Container) -> list[str]:
    """What is known of the user now."""
    found = container.store.export_memories(*_OWNER.names, None, 1000)
    return [memory.statement for memory in found if memory.state.value == "active"]


def retold_in_one_session(container: Container) -> list[str]:
    """What the second time did not confirm."""
    found = container.store.export_memories(*_OWNER.names, None, 1000)
    return [memory.statement for memory in found if len(memory.sessions) == 1]


def test_retold_statements_are_sixty_and_each_has_other_words() -> None:
    """Every statement is told in two ways, and no two messages are the same."""
    everything = [told for session in load_sessions() for told in session]

    assert len(everything) >= _MIN_STATEMENTS
    assert len(everything) == len({told.said for told in everything})
    assert [] == [told for told in everything if told.statement == told.reworded]


def test_replay_adds_no_memory_when_the_words_are_the_same(container: Container) -> None:
    """The same statements from new sessions are evidence, not memories."""
    before = statements(container)

    tell(container, 2)

    assert sorted(before) == sorted(statements(container))
    assert [] == retold_in_one_session(container)


def test_replay_adds_few_memories_when_it_is_reworded(model: Model, container: Container) -> None:
    """Rules and judge together find nearly every statement in its other words."""
    before = statements(container)
    model.rewords = True

    tell(container, 2)

    added = sorted(set(statements(container)) - set(before))
    assert len(added) <= _MAX_GROWTH * len(before), added


def test_replay_keeps_both_wordings_when_the_judge_doubts(
    model: Model, container: Container
) -> None:
    """Without a verdict two memories stay, and nothing that was known is lost."""
    before = statements(container)
    model.rewords, model.knows_truth = True, False

    tell(container, 2)

    after = statements(container)
    assert set(before) <= set(after)
    assert len(before) < len(after) <= 2 * len(before)
