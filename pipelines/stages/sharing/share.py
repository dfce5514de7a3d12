"""Sharing: what enough users of a tenant say alike, without anything personal in it.

Only equal statements of an equal subject count, so that a person who approves one sees exactly
what its users said. Names of third persons are known to no rule here; the approval is for them.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from config.policy import Handling, PersonalKind
from pipelines.model import NAMESPACE, MemoryId
from pipelines.stages.dedup import statement_key
from pipelines.stages.redaction.personal import StandIns
from pipelines.stages.redaction.placeholders import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from config.policy import GlobalPolicy
    from pipelines.model import Kind, Memory, Owner

ProposalId = NewType("ProposalId", uuid.UUID)


class ProposalState(StrEnum):
    """Where a proposal stands: only while it is ``approved``, its memory is everyone's.

    A ``withdrawn`` one lost its users and is proposed again when enough say it again; a
    ``rejected`` one is not.
    """

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


OPEN_STATES = (ProposalState.PROPOSED, ProposalState.APPROVED)


class Withheld(StrEnum):
    """Why a statement is not for everyone."""

    TOO_FEW_USERS = "too few users say it"
    ABOUT_SPEAKER = "it is about somebody who said it"
    NAMES_SPEAKER = "it names somebody who said it"
    PERSONAL_DATA = "it holds personal data"
    REDACTED = "something was taken out of it"


@dataclass(frozen=True, slots=True)
class Supporter:
    """A user's current memory, as far as sharing looks at it.

    Attributes:
        speakers: Users who say it in its evidence, by name where one is known.
    """

    memory_id: MemoryId
    owner: Owner
    statement: str
    subject: str
    kind: Kind
    importance: float
    speakers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Support:
    """One statement and the users who say it.

    Attributes:
        statement: In the spelling that most of them have.
        supporters: One of each user, in the order of their memories' ids.
    """

    statement: str
    subject: str
    kind: Kind
    supporters: tuple[Supporter, ...]

    @property
    def users(self) -> int:
        """How many say it."""
        return len(self.supporters)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A statement that may become everyone's, and what was decided about it.

    Attributes:
        users: How many users say it, when it was looked at last.
        memory_ids: Those of their memories that the shared one cites, at most so many as the
            policy says.
        decided_by: Who approved or rejected it; None where it was withdrawn by itself.
        memory_id: The shared memory; None until it is approved for the first time.
    """

    id: ProposalId
    tenant_id: str
    statement: str
    subject: str
    kind: Kind
    users: int
    memory_ids: tuple[MemoryId, ...]
    state: ProposalState
    proposed_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    memory_id: MemoryId | None = None


def proposal_id(tenant_id: str, statement: str, subject: str) -> ProposalId:
    """Derive the id under which the same statement of a tenant is always proposed."""
    said = "\x1f".join(("proposal", tenant_id, *said_key(statement, subject)))
    return ProposalId(uuid.uuid5(NAMESPACE, said))


def shared_memory_id(key: ProposalId) -> MemoryId:
    """Derive the id of the memory that a proposal becomes."""
    return MemoryId(uuid.uuid5(key, "memory"))


def said_key(statement: str, subject: str) -> tuple[str, str]:
    """What two memories have in common if they say the same of the same subject."""
    return (statement_key(statement), " ".join(subject.casefold().split()))


def find_supports(supporters: Iterable[Supporter], policy: GlobalPolicy) -> list[Support]:
    """Put together who says the same of one subject; memories that may not be shared are left out.

    However many memories a user has of it, they count once.
    """
    groups: dict[tuple[str, str], dict[Owner, Supporter]] = defaultdict(dict)
    for item in sorted(supporters, key=lambda item: item.memory_id):
        if item.kind.value in policy.kinds and item.importance >= policy.min_importance:
            users = groups[said_key(item.statement, item.subject)]
            users.setdefault(item.owner, item)
    return [_support(tuple(users.values())) for users in groups.values()]


def _support(supporters: tuple[Supporter, ...]) -> Support:
    statement = _commonest(item.statement for item in supporters)
    subject = _commonest(item.subject for item in supporters)
    kinds = {item.kind.value: item.kind for item in supporters}
    kind = kinds[_commonest(item.kind.value for item in supporters)]
    return Support(statement, subject, kind, supporters)


def _commonest(texts: Iterable[str]) -> str:
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], text))


# ---- what is withheld ----------------------------------------------------------------------------

_OWN = frozenset({"user", "assistant", "speaker"})
_STAND_IN = frozenset({"user"})
_ROLES = frozenset({"user", "assistant", "system", "tool"})
_WORD = re.compile(r"[^\W_]+")
_ALL_KINDS = dict.fromkeys(PersonalKind, Handling.MASK)
_MIN_NAME_CHARS = 2


def withhold(
    support: Support, policy: GlobalPolicy, phone_regions: tuple[str, ...]
) -> Withheld | None:
    """Why a statement must not be shared; None if a person may decide.

    Args:
        support: With all of its users, because any of their names could stand in it.
        policy: How many users it takes.
        phone_regions: Countries whose national phone numbers are known.
    """
    if support.users < policy.min_users:
        return Withheld.TOO_FEW_USERS
    names = _names(support.supporters)
    subject, statement = _words(support.subject), _words(support.statement)
    if subject & (_OWN | names) or _holds_id(support.subject, support.supporters):
        return Withheld.ABOUT_SPEAKER
    if statement & (_STAND_IN | names) or _holds_id(support.statement, support.supporters):
        return Withheld.NAMES_SPEAKER
    text = f"{support.subject}: {support.statement}"
    if PLACEHOLDER.search(text):
        return Withheld.REDACTED
    return Withheld.PERSONAL_DATA if _is_personal(text, phone_regions) else None


def _names(supporters: Iterable[Supporter]) -> set[str]:
    """The words of the names under which somebody speaks."""
    speakers = {speaker for item in supporters for speaker in item.speakers}
    named = [speaker for speaker in speakers if speaker.casefold() not in _ROLES]
    return {word for name in named for word in _words(name) if len(word) >= _MIN_NAME_CHARS}


def _holds_id(text: str, supporters: Iterable[Supporter]) -> bool:
    folded = text.casefold()
    return any(
        user in folded and re.search(rf"(?<!\w){re.escape(user)}(?!\w)", folded)
        for user in (item.owner.user_id.casefold() for item in supporters)
    )


def _is_personal(text: str, phone_regions: tuple[str, ...]) -> bool:
    stand_ins = StandIns(_ALL_KINDS, phone_regions)
    stand_ins.replace(text)
    return bool(stand_ins.counts)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


# ---- proposals -----------------------------------------------------------------------------------


def propose(tenant_id: str, support: Support, policy: GlobalPolicy, now: datetime) -> Proposal:
    """A new proposal of what the users of a tenant say."""
    return Proposal(
        id=proposal_id(tenant_id, support.statement, support.subject),
        tenant_id=tenant_id,
        statement=support.statement,
        subject=support.subject,
        kind=support.kind,
        users=support.users,
        memory_ids=choose_cited((), support, policy),
        state=ProposalState.PROPOSED,
        proposed_at=now,
    )


def choose_cited(
    cited: Collection[MemoryId], support: Support, policy: GlobalPolicy
) -> tuple[MemoryId, ...]:
    """The memories to cite: those cited before as long as they stand, then others, in id order."""
    standing = [item.memory_id for item in support.supporters]
    ordered = sorted(standing, key=lambda key: (key not in cited, key))
    return tuple(sorted(ordered[: policy.max_cited]))


# ---- recall --------------------------------------------------------------------------------------


def without_own(own: Collection[Memory], shared: Collection[Memory]) -> list[Memory]:
    """The shared memories about which the user has no word of their own.

    What they say themselves is traceable to their own message, and what they hold otherwise in
    the same slot is true of them.
    """
    if not shared:
        return []
    said = {said_key(memory.statement, memory.subject) for memory in own}
    slots = {memory.slot for memory in own if memory.slot is not None}
    return [
        memory
        for memory in shared
        if memory.slot not in slots and said_key(memory.statement, memory.subject) not in said
    ]
