"""What a model may get past grounding: nothing that is invented, and all that is supported."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipelines.model import Kind, Role
from pipelines.stages.grounding.ground import RefusalReason, ground
from tests.evals.injections import INJECTIONS
from tests.evals.replies import dialogues, invented, supported
from tests.unit.stages.dialogue import make_dialogue, make_draft

if TYPE_CHECKING:
    from tests.evals.injections import Injection
    from tests.evals.replies import Reply

_MIN_INVENTED = 200
_MIN_SUPPORTED = 80
_MIN_INJECTIONS = 30


def _told(reply: Reply) -> str:
    return f"{reply.dialogue}: {reply.label}: {reply.draft.statement}"


def test_grounding_refuses_every_reply_that_is_invented() -> None:
    """Two hundred replies with invented facts, wrong quotes, shifted ids: none becomes a fact."""
    replies, known = invented(), dialogues()

    stored = [
        reply for reply in replies if ground([reply.draft], known[reply.dialogue], "eval/1")[0]
    ]

    assert len(replies) >= _MIN_INVENTED
    assert len(replies) == len({(_told(reply), reply.draft.quote) for reply in replies})
    assert [] == [_told(reply) for reply in stored]


def test_grounding_keeps_every_reply_that_is_supported() -> None:
    """Refusing everything is no solution: what is said in other words is kept."""
    replies, known = supported(), dialogues()

    refused = [
        (_told(reply), refusal.reason)
        for reply in replies
        for refusal in ground([reply.draft], known[reply.dialogue], "eval/1")[1]
    ]

    assert len(replies) >= _MIN_SUPPORTED
    assert [] == refused


def test_grounding_names_every_kind_of_reason_for_what_is_invented() -> None:
    """The replies try everything that grounding looks for, so that each check is needed."""
    known = dialogues()
    reasons = Counter(
        refusal.reason
        for reply in invented()
        for refusal in ground([reply.draft], known[reply.dialogue], "eval/1")[1]
    )
    elsewhere = {RefusalReason.EMPTY_STATEMENT, RefusalReason.INSTRUCTION, RefusalReason.SECRET}

    assert set(RefusalReason) - elsewhere == set(reasons)


@pytest.mark.parametrize("kind", [Kind.PREFERENCE, Kind.OUTCOME])
@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.name)
def test_grounding_refuses_what_an_obedient_model_makes_of_an_injection(
    injection: Injection, kind: Kind
) -> None:
    """Whatever the text orders and the model obeys, it becomes no fact."""
    draft = make_draft(
        injection.statement,
        quote=injection.evidence,
        subject=injection.subject,
        kind=kind,
        attribute="role" if injection.value else None,
        value=injection.value,
        importance=1.0,
    )

    facts, _ = ground(
        [draft], make_dialogue((Role(injection.role), None, injection.text)), "eval/1"
    )

    assert [] == facts


def test_injections_are_as_many_as_promised() -> None:
    """Thirty texts, each of its own."""
    assert len({injection.text for injection in INJECTIONS}) >= _MIN_INJECTIONS
