"""Sessions in while processes go down, and a look at what is left when all is quiet."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.checks import check_dead, check_index, check_memories, check_open, check_receipts
from tests.chaos.keeper import wait_settled
from tests.chaos.outline import read_outline
from tests.chaos.payments import count_payments
from tests.chaos.plan import kind_of, schedule_faults
from tests.chaos.pulse import Pulse, check_weights
from tests.chaos.pushing import Agents
from tests.chaos.recalling import Recaller, check_last_recall, check_recalls
from tests.chaos.sessions import plan_errands
from tests.chaos.truth import open_truth, wait_drained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memstill_client import TranscriptV1
    from tests.chaos.findings import Findings
    from tests.chaos.keeper import Keeper
    from tests.chaos.outline import Outline
    from tests.chaos.plan import Fault, Plan
    from tests.chaos.stack import Stack
    from tests.chaos.truth import Truth

    Tell = Callable[[str], None]

_START_SECONDS = 180.0
_SETTLE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a stack knows in the end, and the sessions that it was told to the end."""

    outline: Outline
    sessions: tuple[int, ...]


class Fire:
    """A campaign's processes, and who works with them meanwhile."""

    def __init__(
        self, stack: Stack, plan: Plan, sessions: Sequence[TranscriptV1], tell: Tell
    ) -> None:
        self._stack = stack
        self._plan = plan
        self._tell = tell
        self._users = sorted({session.user_id for session in sessions})
        self._agents = Agents(stack, sessions, plan_errands(plan, len(sessions)))
        self._recaller = Recaller(stack, self._users, plan.dice("recalls"))
        self._pulse = Pulse(stack.keepers)

    def run(self, findings: Findings) -> Told | None:
        """Let it burn and go out.

        Returns:
            What is known; None if something was left on its road, as the findings then say.
        """
        self._tell(f"{len(self._stack.keepers)} processes are starting in {self._stack.folder}")
        if not self._stack.wait_ready(_START_SECONDS):
            self._count_hits(findings)
            findings.problems.append("not all processes came up: the logs are kept")
            return None
        self._tell("all of them are up")
        with self._at_work():
            self._strike(schedule_faults(self._plan, list(self._stack.keepers)))
            self._stack.endpoint.clear_up()
            began = time.monotonic()
            told = self._look_when_quiet(findings)
            findings.drain_seconds = time.monotonic() - began
            self._collect(findings)
        return told

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with ExitStack() as running:
            for part in (self._pulse, self._agents, self._recaller):
                part.start()
                running.callback(part.close)
            yield

    def _strike(self, faults: Sequence[Fault]) -> None:
        began = time.monotonic()
        for number, fault in enumerate(faults, 1):
            time.sleep(max(began + fault.at - time.monotonic(), 0.0))
            self._stack.keepers[fault.target].hit(fault)
            if number % 20 == 0:
                self._tell(f"{number} of {len(faults)} faults")
        self._tell("the faults have ended")

    def _look_when_quiet(self, findings: Findings) -> Told | None:
        keepers = list(self._stack.keepers.values())
        is_back = wait_settled(keepers, _SETTLE_SECONDS)
        if not (is_back and self._stack.wait_ready(_SETTLE_SECONDS)):
            findings.problems.append("not all processes came back")
            return None
        self._tell("all processes are back")
        seconds, agents = self._plan.drain_seconds, self._agents
        with open_truth(self._stack) as truth:
            left = wait_drained(truth, lambda: agents.is_busy, seconds, self._tell)
            findings.problems += check_open(left)
            told = self._look(truth, findings)
        return None if any(left.values()) else told

    def _look(self, truth: Truth, findings: Findings) -> Told:
        receipts = self._agents.pushes.receipts
        problems, findings.dead = check_receipts(truth, receipts)
        thawed_at = {name: keeper.thawed_at for name, keeper in self._stack.keepers.items()}
        findings.payments = count_payments(self._stack.endpoint, truth, self._users, thawed_at)
        findings.problems += [
            *problems,
            *check_dead(findings.dead, len(receipts)),
            *check_memories(truth),
            *check_index(truth, truth.index_rows()),
            *findings.payments.problems,
            *check_recalls(self._recaller.recalls, truth),
        ]
        with self._stack.client("http") as client:
            findings.problems += check_last_recall(client, self._users, truth)
        rows = truth.rows("SELECT receipt, state FROM transcripts")
        states = {row["receipt"]: row["state"] for row in rows}
        findings.states = Counter(states.values())
        done = [number for number, key in receipts.items() if states.get(key) == "done"]
        return Told(read_outline(truth), tuple(sorted(done)))

    def _collect(self, findings: Findings) -> None:
        findings.pushes = self._agents.pushes
        findings.recalls = self._recaller.recalls.asked
        findings.weather = self._stack.endpoint.given
        findings.weights = self._pulse.weigh()
        findings.problems += [
            *findings.pushes.problems,
            *self._recaller.recalls.problems,
            *check_weights(findings.weights),
        ]
        self._count_hits(findings)

    def _count_hits(self, findings: Findings) -> None:
        for name, keeper in self._stack.keepers.items():
            findings.hits.update(_hits(name, keeper))
            for code, number in keeper.ended_alone.items():
                findings.ended_alone[f"{name}: {code}"] += number


def _hits(name: str, keeper: Keeper) -> dict[str, int]:
    return {f"{kind_of(name)} {action}": number for action, number in keeper.suffered.items()}
