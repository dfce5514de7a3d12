"""Every tunable of every stage, frozen, with the reason for its value.

A stage receives its policy as an argument; nothing here reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from config.access import KeyPolicy
from config.checkpoints import CheckpointPolicy
from config.decay import DecayPolicy
from config.langgraph import LangGraphPolicy
from config.operation import (
    BatchPolicy,
    DeadPolicy,
    ErasePolicy,
    LeasePolicy,
    ProjectPolicy,
    ReconcilePolicy,
    RetryPolicy,
)
from config.outages import OutagePolicy
from config.rates import RatePolicy
from config.requests import RequestPolicy
from config.retention import ArchivePolicy, RetentionPolicy
from config.retrieval import PassagePolicy, RankPolicy, RecallPolicy, VerbatimPolicy
from config.schedule import SchedulePolicy
from config.sessions import SessionPolicy, WorkingPolicy
from config.spending import BudgetPolicy


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


class PersonalKind(StrEnum):
    """What personal data is, as far as its form or the words before it tell."""

    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"
    NATIONAL_ID = "national-id"
    PASSPORT = "passport"
    IBAN = "iban"


class Handling(StrEnum):
    """What becomes of personal data before anything is stored.

    ``mask`` puts a numbered stand-in in its place, the same one for the same value in one
    transcript: ``[email-1]``. ``drop`` puts the bare ``[email]`` there, so that not even who is
    who can be told.
    """

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


Handlings = Mapping[PersonalKind, Handling]


@dataclass(frozen=True, slots=True)
class PersonalDataPolicy:
    """What tenants want done with personal data; a kind that nobody names is kept.

    Attributes:
        default: Of every tenant that ``tenants`` does not name.
        phone_regions: Countries (ISO 3166) whose national phone numbers are known without
            their country's prefix; the first one wins where a number fits several.
    """

    default: Handlings = field(default_factory=dict)
    tenants: Mapping[str, Handlings] = field(default_factory=dict)
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR")

    def handlings_of(self, tenant_id: str) -> Handlings:
        """What is to be done for a tenant."""
        return self.tenants.get(tenant_id, self.default)


@dataclass(frozen=True, slots=True)
class DistillPolicy:
    """How a transcript is cut for the model, and how often a malformed reply is asked again.

    Attributes:
        window_chars: Longest part of a transcript that one model call sees.
        overlap_messages: Messages repeated at the start of the next window.
        max_repairs: Further calls after a malformed reply, each told what was wrong.
        max_sessions: Short waiting transcripts of one user that share a call, if they fit into
            one window together; the fixed part of a prompt is then paid once for all of them.
    """

    window_chars: int = 12_000
    overlap_messages: int = 2
    max_repairs: int = 2
    max_sessions: int = 8


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """How much of one transcript the offline distiller reads, so that none holds a worker up.

    A transcript of 10 MB can hold millions of sentences; 5,000 statements are more than any
    session of a person tells. What is not read is said to be so, as a refusal in the receipt.

    Attributes:
        max_sentences: Looked at.
        max_drafts: Proposed.
    """

    max_sentences: int = 20_000
    max_drafts: int = 5_000


@dataclass(frozen=True, slots=True)
class GroundPolicy:
    """How much of a statement the messages that it cites must say.

    Of 1,210 statements that a model had distilled, 2.6 % share less than .2 of their words of
    substance with the message that they cite; of the same statements on a wrong message of the
    same conversation, 67 %.

    Attributes:
        min_coverage: At or above, the statement is about what its messages are about.
        min_near_coverage: Below ``min_coverage``, what the messages just before add must reach it.
        min_unshared_coverage: The same for a quote that shares no word with the statement.
        min_value_coverage: Of the words of a value.
        near_messages: Messages of users just before the quoted one that count as near.
        far_messages: As many before it may say whom "she" means; those become evidence.
        max_question_distance: A question further back is not what a short answer answers.
        max_importance_beside_order: Of what is said in one message with orders to the memory.
    """

    min_coverage: float = 0.2
    min_near_coverage: float = 0.3
    min_unshared_coverage: float = 0.6
    min_value_coverage: float = 0.5
    near_messages: int = 2
    far_messages: int = 12
    max_question_distance: int = 3
    max_importance_beside_order: float = 0.5


@dataclass(frozen=True, slots=True)
class DedupPolicy:
    """When two statements of one subject say the same thing.

    The words decide, the vectors only confirm: with the rules of ``stages.dedup`` the precision
    on pairs of written sentences is .97 (cosine .86 alone: .47) and hardly moves with the
    threshold, but below .86 short replies of spoken conversations fall together.

    Attributes:
        min_cosine: Below it, never; at or above, a duplicate if the words agree too.
        min_ask: Below it nobody is asked either; between, a judge may know.
        candidates: Neighbours fetched from the index for each fact.
    """

    min_cosine: float = 0.86
    min_ask: float = 0.7
    candidates: int = 12


@dataclass(frozen=True, slots=True)
class JudgePolicy:
    """When a judge is asked, and about how much at once.

    Values of one slot are asked about before they are stored: they decide what holds now. Two
    statements that are merely alike stand side by side until there are enough of them for a
    question: asked after each session, they would cost as many calls as distilling.

    Attributes:
        max_rivals: For each statement a judge is asked about so many of its nearest.
        max_pairs: Pairs that one question may hold; the nearest go first.
        urgent: Statements that are as near as this most likely say the same: worth a question.
        company: So many pairs that wait are worth a question.
        wait: No pair waits longer.
    """

    max_rivals: int = 1
    max_pairs: int = 150
    urgent: float = 0.92
    company: int = 60
    wait: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SlotPolicy:
    """What attributes are called, and which of them hold many values at once.

    Attributes:
        set_valued: A new value of these stands beside the others; only its own end retires it.
        aliases: Other names of an attribute, so that all values of one meet in one slot.
        recent: What is said to hold since a day not longer ago held until it was said.
    """

    set_valued: frozenset[str] = frozenset(
        {
            "allergy", "app", "book", "brother", "certification", "child", "colleague", "daughter",
            "degree", "device", "dietary restriction", "dislike", "eating plan", "food",
            "framework", "friend", "game", "goal", "habit", "health condition", "hobby",
            "instrument", "interest", "language", "library", "like", "medical condition",
            "medication", "membership", "pet", "plan", "programming language", "project",
            "sibling", "sister", "skill", "son", "sport", "subscription", "task", "tool",
            "vehicle",
        }
    )  # fmt: skip
    aliases: Mapping[str, str] = field(
        default_factory=lambda: {
            "city": "home city", "current city": "home city", "residence": "home city",
            "home": "home city", "home location": "home city", "place of residence": "home city",
            "city of residence": "home city", "lives in": "home city",
            "company": "employer", "workplace": "employer", "place of work": "employer",
            "current employer": "employer", "works at": "employer",
            "job": "job title", "occupation": "job title", "profession": "job title",
            "role": "job title", "position": "job title", "current job": "job title",
            "relationship status": "marital status", "dietary preference": "diet",
            "eating habit": "diet", "timezone": "time zone", "boss": "manager",
            "line manager": "manager", "carrier": "phone carrier",
            "mobile carrier": "phone carrier", "mobile provider": "phone carrier",
            "hobbie": "hobby", "allergie": "allergy", "children": "child", "car": "vehicle",
            "mobile plan": "phone plan", "cell phone plan": "phone plan",
        }
    )  # fmt: skip
    recent: timedelta = timedelta(days=92)

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
        max_questions: Rounds of asking the judge; the second sees what the first one opened.
    """

    order_wait: timedelta = timedelta(seconds=60)
    max_facts: int = 500
    max_replans: int = 3
    max_questions: int = 2


_PERSONAL = frozenset({"preference", "profile", "event", "procedure", "knowledge"})
_WORK = frozenset({"outcome", "lesson"})


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """A way from the session to the user; all conditions must hold.

    Attributes:
        reason: Why, as the event log says it.
        kinds: Kinds of memory that may go this way.
        min_importance: From 0 to 1.
        min_sessions: So many sessions said it.
        needs_user: At least one piece of evidence is the user's own message.
    """

    reason: str
    kinds: frozenset[str]
    min_importance: float = 0.0
    min_sessions: int = 1
    needs_user: bool = True


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """Which memories of a session become memories of the user; the first rule that fits says why.

    What only the assistant said is an outcome or a lesson of the work or nothing for the user.
    """

    rules: tuple[PromotionRule, ...] = (
        PromotionRule("important", _PERSONAL | _WORK, min_importance=0.3),
        PromotionRule("corroborated", _PERSONAL | _WORK, min_sessions=2),
        PromotionRule("result of the work", _WORK, min_importance=0.3, needs_user=False),
        PromotionRule("corroborated result", _WORK, min_sessions=2, needs_user=False),
    )


@dataclass(frozen=True, slots=True)
class GlobalPolicy:
    """What users of a tenant say alike and may become everyone's, once a person approves it.

    Attributes:
        min_users: So many users must say it; with fewer it is withdrawn.
        kinds: Kinds of memory that may be proposed: none that is about a person.
        min_importance: Of each memory that counts, from 0 to 1.
        max_cited: A shared memory cites so many of the memories that support it.
        batch: Memories looked at by one query of a scan.
        turn: A scheduled scan goes on in a new wake-up after this.
    """

    min_users: int = 3
    kinds: frozenset[str] = frozenset({"knowledge", "procedure", "lesson", "outcome"})
    min_importance: float = 0.3
    max_cited: int = 50
    batch: int = 20_000
    turn: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Policies:
    """All of them, as the composition root hands them out."""

    intake: IntakePolicy = field(default_factory=IntakePolicy)
    personal_data: PersonalDataPolicy = field(default_factory=PersonalDataPolicy)
    lease: LeasePolicy = field(default_factory=LeasePolicy)
    distill: DistillPolicy = field(default_factory=DistillPolicy)
    dedup: DedupPolicy = field(default_factory=DedupPolicy)
    judge: JudgePolicy = field(default_factory=JudgePolicy)
    slot: SlotPolicy = field(default_factory=SlotPolicy)
    consolidate: ConsolidatePolicy = field(default_factory=ConsolidatePolicy)
    erase: ErasePolicy = field(default_factory=ErasePolicy)
    project: ProjectPolicy = field(default_factory=ProjectPolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    sharing: GlobalPolicy = field(default_factory=GlobalPolicy)
    reconcile: ReconcilePolicy = field(default_factory=ReconcilePolicy)
    passage: PassagePolicy = field(default_factory=PassagePolicy)
    verbatim: VerbatimPolicy | None = field(default_factory=VerbatimPolicy)
    rank: RankPolicy = field(default_factory=RankPolicy)
    recall: RecallPolicy = field(default_factory=RecallPolicy)
    budget: BudgetPolicy = field(default_factory=BudgetPolicy)
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    rate: RatePolicy = field(default_factory=RatePolicy)
    request: RequestPolicy = field(default_factory=RequestPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    keys: KeyPolicy = field(default_factory=KeyPolicy)
    dead: DeadPolicy = field(default_factory=DeadPolicy)
    decay: DecayPolicy = field(default_factory=DecayPolicy)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    archive: ArchivePolicy = field(default_factory=ArchivePolicy)
    outage: OutagePolicy = field(default_factory=OutagePolicy)
    schedule: SchedulePolicy = field(default_factory=SchedulePolicy)
    langgraph: LangGraphPolicy = field(default_factory=LangGraphPolicy)
    session: SessionPolicy = field(default_factory=SessionPolicy)
    working: WorkingPolicy = field(default_factory=WorkingPolicy)
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)
