"""Recalling from all tiers at once: one answer, one block, one budget.

The tiers are asked side by side. One that is away, or slow, is left out and named: an agent that
starts a session does better with a part of what is known than with nothing.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as TooSlow
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from config.retrieval import Tier
from pipelines.errors import DependencyUnavailable
from pipelines.flows.recall import checked, in_block
from pipelines.ports import Working
from pipelines.stages.budget import render_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from config.retrieval import RecallPolicy
    from pipelines.flows.procedures import Procedures
    from pipelines.flows.recall import Question, Recall
    from pipelines.flows.sessions import Sessions
    from pipelines.flows.working import WorkingMemory
    from pipelines.ports import Episode
    from pipelines.stages.procedures import Procedure
    from pipelines.stages.rank import Ranked

log = structlog.get_logger(__name__)

T = TypeVar("T")

ALL_TIERS = frozenset(Tier)
NOTHING_HELD = Working()
TITLES = {
    Tier.PROCEDURES: "How it is done:",
    Tier.EPISODES: "What happened lately:",
    Tier.WORKING: "Held in mind in this session:",
}


@dataclass(frozen=True, slots=True)
class Recollection:
    """What all tiers had to say, within the budget.

    Attributes:
        memories: Best first.
        procedures: Best first.
        episodes: The newest first.
        working: In the order in which it came.
        block: All of it for the next prompt.
        tokens: Of the whole block.
        notes: What was done without, each as a sentence.
    """

    memories: tuple[Ranked, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    episodes: tuple[Episode, ...] = ()
    working: Working = NOTHING_HELD
    block: str = ""
    tokens: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecallTiers:
    """Answers from all tiers.

    Attributes:
        executors: Where the tiers beside the memories are asked; those of one server share one, so
            that a server that hangs takes no thread from the others.
    """

    recall: Recall
    sessions: Sessions
    working: WorkingMemory
    procedures: Procedures
    executors: Mapping[Tier, Executor]
    policy: RecallPolicy

    def run(self, question: Question, tiers: frozenset[Tier] = ALL_TIERS) -> Recollection:
        """Ask the tiers, and share the budget out among them.

        A past day has memories only: the other tiers know the present alone.

        Raises:
            InputError: The query is empty or too long, or a limit makes no sense.
            DependencyUnavailable: Memories cannot be had, and no other tier has anything.
        """
        return _Answer(self, checked(question), tiers).tell()

    def ask(self, question: Question, tier: Tier) -> Future[Any]:
        """Have a tier asked."""
        owner, session = question.owner, question.session_id
        calls: dict[Tier, Callable[[], object]] = {
            Tier.PROCEDURES: lambda: self.procedures.search(
                owner, question.query, self.policy.procedures
            ),
            Tier.EPISODES: lambda: self.sessions.episodes(owner, self.policy.episodes),
            Tier.WORKING: lambda: self.working.read(owner, session) if session else NOTHING_HELD,
        }
        return self.executors[tier].submit(calls[tier])


class _Answer:
    """One answer on its way."""

    def __init__(self, flow: RecallTiers, question: Question, tiers: frozenset[Tier]) -> None:
        self._flow, self._question = flow, question
        wanted = tiers & {Tier.MEMORIES} if question.as_of else tiers
        self._wants_memories = Tier.MEMORIES in wanted
        self._asked = {tier: flow.ask(question, tier) for tier in TITLES if tier in wanted}
        self._notes: list[str] = []

    def tell(self) -> Recollection:
        ranked, failure = self._find_memories()
        # All of them together, not one after the other.
        wait(self._asked.values(), self._flow.policy.patience.total_seconds())
        found = Recollection(
            procedures=tuple(self._take(Tier.PROCEDURES, ())),
            episodes=tuple(self._take(Tier.EPISODES, ())),
            working=self._take(Tier.WORKING, NOTHING_HELD),
        )
        if failure is not None and not any(_lines_of(found).values()):
            raise failure
        return self._fit(ranked, found)

    def _find_memories(self) -> tuple[list[Ranked], DependencyUnavailable | None]:
        if not self._wants_memories:
            return [], None
        try:
            ranked, notes = self._flow.recall.find(self._question)
        except DependencyUnavailable as error:
            self._leave_out(Tier.MEMORIES, str(error))
            return [], error
        self._notes += notes
        return ranked, None

    def _take(self, tier: Tier, nothing: Any) -> Any:  # noqa: ANN401 - what the tier has
        asked = self._asked.get(tier)
        if asked is None:
            return nothing
        try:
            return asked.result(0)
        except TooSlow:
            asked.cancel()
            self._leave_out(tier, "it took too long")
        except DependencyUnavailable as error:
            self._leave_out(tier, str(error))
        return nothing

    def _leave_out(self, tier: Tier, why: str) -> None:
        log.warning("tier_left_out", tier=tier.value, error=why)
        self._notes.append(f"{tier.value} left out: {why}")

    # ---- the budget ---------------------------------------------------------------------------

    def _fit(self, ranked: Sequence[Ranked], found: Recollection) -> Recollection:
        """Each tier its share at most, the memories what is left, and then whoever has more."""
        recall, shares = self._flow.recall, self._flow.policy.shares()
        room = recall.room(self._question)
        parts = {tier: self._measure(tier, lines) for tier, lines in _lines_of(found).items()}
        left = room - sum(part.take(shares[tier] * room) for tier, part in parts.items())
        memories = recall.fit(ranked, self._question.max_memories, left)
        left -= sum(self._count([render_line(item.memory) for item in memories]))
        for part in parts.values():
            left -= part.take(left)
        return self._render(replace(_shortened(found, parts), memories=tuple(memories)))

    def _render(self, told: Recollection) -> Recollection:
        recall = self._flow.recall
        lines = [render_line(item.memory) for item in told.memories]
        others = _lines_of(told)
        # Recollection in the order in which it came; kept in the order in which it matters.
        first = int(told.working.summary is not None)
        others[Tier.WORKING][first:] = reversed(others[Tier.WORKING][first:])
        sections = [(TITLES[tier], part) for tier, part in others.items()]
        block = recall.render(self._question, [(None, lines), *sections])
        recall.note_told(told.memories)
        tokens = recall.tokens.count([block])[0]
        return replace(told, block=block, tokens=tokens, notes=tuple(self._notes))

    def _measure(self, tier: Tier, lines: Sequence[str]) -> _Part:
        (title,) = self._flow.recall.tokens.count([f"\n{TITLES[tier]}"])
        return _Part(title, self._count(lines))

    def _count(self, lines: Sequence[str]) -> list[int]:
        found = [in_block(line) for line in lines]
        return list(self._flow.recall.tokens.count(found)) if found else []


@dataclass(slots=True)
class _Part:
    """What is told of a tier.

    Attributes:
        title: Tokens of its title, for which the first line that is told pays.
        costs: Tokens of each line.
        taken: The places of those that are told.
    """

    title: int
    costs: Sequence[int]
    taken: set[int] = field(default_factory=set)

    def take(self, room: float) -> int:
        """Tell what fits, in order; what is too long is passed over. Gives what it costs."""
        spent = 0
        for place, cost in enumerate(self.costs):
            price = cost if self.taken else cost + self.title
            if place not in self.taken and spent + price <= room:
                self.taken.add(place)
                spent += price
        return spent

    def of(self, items: Sequence[T]) -> tuple[T, ...]:
        """Those of the tier's items that are told."""
        return tuple(item for place, item in enumerate(items) if place in self.taken)


def _lines_of(told: Recollection) -> dict[Tier, list[str]]:
    """The lines of each tier beside the memories, what matters most first."""
    working = told.working
    # What was noted last is nearest to what comes next.
    held = [item.content for item in reversed(working.items)]
    return {
        Tier.PROCEDURES: [render_procedure(item) for item in told.procedures],
        Tier.EPISODES: [render_episode(item) for item in told.episodes],
        Tier.WORKING: held if working.summary is None else [working.summary.content, *held],
    }


def _shortened(found: Recollection, parts: Mapping[Tier, _Part]) -> Recollection:
    held, part = found.working, parts[Tier.WORKING]
    newest = [*reversed(held.items)] if held.summary is None else [None, *reversed(held.items)]
    told = [item for item in part.of(newest) if item is not None]
    summary = held.summary if 0 in part.taken else None
    return replace(
        found,
        procedures=parts[Tier.PROCEDURES].of(found.procedures),
        episodes=parts[Tier.EPISODES].of(found.episodes),
        working=Working(summary, tuple(reversed(told))),
    )


def render_episode(episode: Episode) -> str:
    """One line of the prompt block."""
    return f"{' '.join(episode.content.split())} ({episode.created_at:%Y-%m-%d})"


def render_procedure(procedure: Procedure) -> str:
    """One line of the prompt block, with how often it worked."""
    steps = "; ".join(
        f"{number}. {' '.join(step.split())}" for number, step in enumerate(procedure.steps, 1)
    )
    tried = procedure.successes + procedure.failures
    worked = f" (worked {procedure.successes} of {tried} times)" if tried else ""
    return f"{procedure.name}: {steps}{worked}"
