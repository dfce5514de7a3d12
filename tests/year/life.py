"""What users say in a year: a little that stays true, some that changes, much that happens once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.year.household import Plan

CITIES = ("Berlin", "Lisbon", "Oslo", "Turin", "Ghent", "Bern", "Porto", "Graz", "Lyon", "Bonn")
JOBS = ("nurse", "carpenter", "data engineer", "teacher", "baker", "pilot", "translator", "lawyer")
LIKES = (
    "green tea", "jazz", "chess", "hiking", "black coffee", "trains", "sailing", "opera",
    "pottery", "climbing", "crosswords", "gardening", "cycling", "poetry", "swimming", "archery",
)  # fmt: skip
PEOPLE = ("Ana", "Ben", "Carla", "David", "Emma", "Farid", "Greta", "Hugo", "Ines", "Jonas")
PLACES = (
    "the harbour", "the museum", "the market", "the old mill", "the theatre", "the lake",
    "the library", "the castle", "the stadium", "the botanical garden", "the observatory",
)  # fmt: skip
THINGS = (
    "lamp", "ladder", "kettle", "bicycle", "camera", "drill", "tent", "guitar", "carpet", "radio",
    "microscope", "telescope", "typewriter", "wheelbarrow", "sewing machine",
)  # fmt: skip
TASKS = ("deploy", "backup", "migration", "import", "release", "restore", "upgrade", "rollout")
CAUSES = (
    "the disk was full", "a certificate had expired", "the password was wrong",
    "an index was missing", "the network was slow", "two versions did not fit together",
)  # fmt: skip


def lives_of(plan: Plan) -> list[Life]:
    """Everybody."""
    return [Life(number, plan.seed) for number in range(plan.users)]


@dataclass(slots=True)
class Life:
    """One user, whose story is the same for the same seed.

    Attributes:
        lived: Sessions so far.
    """

    number: int
    seed: int
    lived: int = 0
    user_id: str = field(init=False)
    dice: Random = field(init=False)
    city: str = field(init=False)
    job: str = field(init=False)

    def __post_init__(self) -> None:
        self.user_id = f"user-{self.number}"
        self.dice = Random(f"{self.seed}/{self.user_id}")
        self.city, self.job = self.dice.choice(CITIES), self.dice.choice(JOBS)

    def session(self, at: datetime) -> dict[str, Any]:
        """The next session, as an agent pushes it."""
        number = self.lived
        self.lived += 1
        said = self._said(number)
        started = at + timedelta(minutes=self.dice.randrange(120))
        messages = []
        for place, text in enumerate(said):
            created = (started + timedelta(minutes=place)).isoformat()
            messages.append({"role": "user", "content": text, "created_at": created})
            messages.append({"role": "assistant", "content": "I see.", "created_at": created})
        return {
            "schema_version": 1,
            "user_id": self.user_id,
            "session_id": f"{self.user_id}-{number}",
            "started_at": started.isoformat(),
            "messages": messages,
        }

    def question(self) -> str:
        """What the agent asks memstill before a session."""
        return self.dice.choice(
            [
                "Where does the user live?",
                "What is the user's job?",
                f"Does the user like {self.dice.choice(LIKES)}?",
                f"What happened at {self.dice.choice(PLACES)}?",
                f"What went wrong with the {self.dice.choice(TASKS)}?",
            ]
        )

    def _said(self, number: int) -> list[str]:
        """Introductions first, then mostly what happened; now and then something changes."""
        if number == 0:
            return [f"I live in {self.city}.", f"I work as a {self.job}."]
        said = [self._happened() for _ in range(self.dice.randint(1, 2))]
        chance = self.dice.random()
        if chance < 0.01:
            self.city = self.dice.choice([city for city in CITIES if city != self.city])
            said.append(f"I moved to {self.city}.")
        elif chance < 0.016:
            self.job = self.dice.choice([job for job in JOBS if job != self.job])
            said.append(f"I work as a {self.job} now.")
        elif chance < 0.10:
            said.append(f"I like {self.dice.choice(LIKES)}.")
        elif chance < 0.14:
            said.append(f"I live in {self.city}, as you know.")
        return said

    def _happened(self) -> str:
        dice = self.dice
        who, where, what = dice.choice(PEOPLE), dice.choice(PLACES), dice.choice(THINGS)
        task = dice.choice(TASKS)
        return dice.choice(
            [
                f"I met {who} at {where} for {dice.randint(2, 90)} minutes, about the {what}.",
                f"I bought a {what} from {who} for {dice.randint(5, 900)} euros.",
                f"The {task} {dice.randint(100, 9999)} failed because {dice.choice(CAUSES)}.",
                f"{who} lent me a {what} for {dice.randint(2, 30)} days, at {where}.",
                f"I walked {dice.randint(2, 40)} kilometres to {where} with {who}.",
            ]
        )
