"""Every tunable of every stage, frozen, with the reason for its value.

A stage receives its policy as an argument; nothing here reads the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """What may enter.

    Attributes:
        max_bytes: Size of one transcript as JSON in UTF-8.
        max_future: A message time further ahead than this is impossible; clocks differ a bit.
        batch: Stream entries read and committed together.
        claim_idle: A Stream entry that its consumer has held this long is taken over.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_future: timedelta = timedelta(days=1)
    batch: int = 64
    claim_idle: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a worker may hold a piece of work before another may take it."""

    distill: timedelta = timedelta(minutes=5)
    consolidate: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DistillPolicy:
    """How a transcript is cut for the model, and how often a malformed reply is asked again.

    Attributes:
        window_chars: Longest part of a transcript that one model call sees.
        overlap_messages: Messages repeated at the start of the next window.
        max_repairs: Further calls after a malformed reply, each told what was wrong.
    """

    window_chars: int = 12_000
    overlap_messages: int = 2
    max_repairs: int = 2


@dataclass(frozen=True, slots=True)
class DedupPolicy:
    """When two statements of one subject say the same thing.

    The words decide, the vectors only confirm: with the rules of ``stages.dedup`` the precision
    on pairs of written sentences is .97 (cosine .86 alone: .47) and hardly moves with the
    threshold, but below .86 short replies of spoken conversations fall together.

    Attributes:
        min_cosine: Below it, never; at or above, a duplicate if the words agree too.
        candidates: Neighbours fetched from the index for each fact.
    """

    min_cosine: float = 0.86
    candidates: int = 12


@dataclass(frozen=True, slots=True)
class SlotPolicy:
    """What attributes are called, and which of them hold many values at once.

    Attributes:
        set_valued: A new value of these stands beside the others; only its own end retires it.
        aliases: Other names of an attribute, so that all values of one meet in one slot.
    """

    set_valued: frozenset[str] = frozenset(
        {
            "allergy", "book", "child", "dislike", "food", "friend", "hobby", "instrument",
            "interest", "language", "like", "membership", "pet", "project", "skill", "sport",
            "subscription", "tool", "vehicle",
        }
    )  # fmt: skip
    aliases: Mapping[str, str] = field(
        default_factory=lambda: {
            "city": "home city", "current city": "home city", "residence": "home city",
            "home": "home city", "home location": "home city", "place of residence": "home city",
            "city of residence": "home city", "location": "home city", "hometown": "home city",
            "current location": "home city", "lives in": "home city",
            "company": "employer", "workplace": "employer", "place of work": "employer",
            "current employer": "employer", "works at": "employer",
            "job": "job title", "occupation": "job title", "profession": "job title",
            "role": "job title", "position": "job title", "current job": "job title",
            "relationship status": "marital status", "dietary preference": "diet",
            "dietary restriction": "diet", "eating habit": "diet", "timezone": "time zone",
            "hobbie": "hobby", "allergie": "allergy", "children": "child", "car": "vehicle",
            "mobile plan": "phone plan", "cell phone plan": "phone plan",
        }
    )  # fmt: skip

    def name_of(self, attribute: str) -> str:
        """The one name under which an attribute is filed; empty if it has none."""
        plain = " ".join(attribute.casefold().replace("_", " ").split())
        singular = plain.removesuffix("s") if not plain.endswith("ss") else plain
        known = next((name for name in (plain, singular) if name in self.set_valued), plain)
        return self.aliases.get(plain) or self.aliases.get(singular) or known


@dataclass(frozen=True, slots=True)
class ConsolidatePolicy:
    """How one user's facts are gathered.

    Attributes:
        order_wait: How long facts wait for an earlier session of the same user that is
            already in the inbox but not yet distilled.
        max_facts: Facts consolidated in one transaction.
        max_replans: Times a plan is made anew after a version conflict.
    """

    order_wait: timedelta = timedelta(seconds=60)
    max_facts: int = 500
    max_replans: int = 3


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """Which memories of a session become memories of the user.

    Attributes:
        min_importance: From here a statement of the user is promoted at once.
        min_sessions: A less important one is promoted when as many sessions said it.
        assistant_kinds: What only the assistant said can become nothing else for the user.
    """

    min_importance: float = 0.3
    min_sessions: int = 2
    assistant_kinds: frozenset[str] = frozenset({"outcome", "lesson"})


@dataclass(frozen=True, slots=True)
class RankPolicy:
    """How candidates of recall are ordered.

    Chosen on sentences of long conversations, by the share of a question's evidence among the
    first ten: .73, against .69 for a mix of .7 and .3 without diversity. Weights for recency
    and for spreading over sessions lost at every size tried; reciprocal rank fusion with
    k = 60 was worse than lexical search alone.

    Attributes:
        dense_weight: Of the cosine.
        lexical_weight: Of the lexical score, divided by the query's best.
        diversity: Share of the order that being unlike those above decides; .4 lost again.
        same_message_penalty: Taken off where a memory above rests on the same message.
        legs: Candidates taken from the dense and from the lexical search each.
    """

    dense_weight: float = 0.8
    lexical_weight: float = 0.2
    diversity: float = 0.3
    same_message_penalty: float = 0.1
    legs: int = 100


@dataclass(frozen=True, slots=True)
class RecallPolicy:
    """How much a recall returns unless told otherwise."""

    max_memories: int = 20
    max_tokens: int = 400


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often failed work is tried again, and when.

    The n-th delay is ``base * factor^(n-1)`` up to ``longest``, with jitter of a quarter.

    Attributes:
        in_call_attempts: Tries of one model request inside one task, for passing faults.
        max_attempts: Tries of one piece of work in all; then it is a dead letter.
    """

    in_call_attempts: int = 3
    in_call_wait: timedelta = timedelta(seconds=0.5)
    max_attempts: int = 5
    base: timedelta = timedelta(seconds=30)
    factor: float = 4.0
    longest: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Policies:
    """All of them, as the composition root hands them out."""

    intake: IntakePolicy = field(default_factory=IntakePolicy)
    lease: LeasePolicy = field(default_factory=LeasePolicy)
    distill: DistillPolicy = field(default_factory=DistillPolicy)
    dedup: DedupPolicy = field(default_factory=DedupPolicy)
    slot: SlotPolicy = field(default_factory=SlotPolicy)
    consolidate: ConsolidatePolicy = field(default_factory=ConsolidatePolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    rank: RankPolicy = field(default_factory=RankPolicy)
    recall: RecallPolicy = field(default_factory=RecallPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
