"""The passage that a memory comes from: what its words are searched in, beside its statement.

A statement says what somebody meant, seldom in the words in which it is asked for later. Those
stand in the message that it cites, or in what the message answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import ReceiptId, Role
from pipelines.stages.injection.fence import strip_fenced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from config.retrieval import PassagePolicy
    from pipelines.model import Evidence, Message

Place = tuple[ReceiptId, int]
"""A message by its transcript and its index there."""

_SPOKEN = frozenset({Role.USER, Role.ASSISTANT})


def places_around(evidence: Iterable[Evidence], policy: PassagePolicy) -> set[Place]:
    """The messages that ``read_passages`` wants to see of this evidence."""
    return {
        (item.transcript_id, index)
        for item in select_newest(evidence, policy)
        for index in range(_first(item, policy), item.message_index + 1)
    }


def read_passages(
    evidence: Iterable[Evidence], messages: Mapping[Place, Message], policy: PassagePolicy
) -> str:
    """The cited messages with what was said just before them, each message once, in order.

    Only what users and the assistant said, and nothing that recall had put there. Messages that
    are not there any more are left out.
    """
    read: dict[Place, str] = {}
    for item in select_newest(evidence, policy):
        for place, text in _around(item, messages, policy):
            read[place] = max(text, read.get(place, ""), key=len)
    return " ".join(read[place] for place in sorted(read))


def select_newest(evidence: Iterable[Evidence], policy: PassagePolicy) -> Sequence[Evidence]:
    """The pieces of evidence whose passages are searched."""
    ordered = sorted(evidence, key=lambda item: (item.said_at, item.transcript_id, item.quote))
    return ordered[-policy.max_cited :]


def _first(item: Evidence, policy: PassagePolicy) -> int:
    return max(0, item.message_index - policy.before_messages)


def _around(
    item: Evidence, messages: Mapping[Place, Message], policy: PassagePolicy
) -> Iterable[tuple[Place, str]]:
    cited = messages.get((item.transcript_id, item.message_index))
    if cited is not None:
        text = _stretch(strip_fenced(cited.content), item.quote, policy.cited_chars)
        yield (item.transcript_id, item.message_index), text
    left = policy.before_chars
    for index in range(item.message_index - 1, _first(item, policy) - 1, -1):
        message = messages.get((item.transcript_id, index))
        if message is not None and message.role in _SPOKEN and left:
            text = strip_fenced(message.content)[-left:]
            left -= len(text)
            yield (item.transcript_id, index), text


def _stretch(text: str, quote: str, longest: int) -> str:
    """A long message is cut around what is quoted of it."""
    middle = max(0, text.find(quote)) + len(quote) // 2
    start = max(0, min(middle - longest // 2, len(text) - longest))
    return text[start : start + longest]
