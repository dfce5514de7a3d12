"""Texts that a careless pattern or loop would need hours for, through all that reads a push."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from pipelines.model import Draft, Kind, Role
from pipelines.stages.grounding.ground import ground
from pipelines.stages.offline.distill import distill_transcript
from pipelines.stages.redaction.clean import clean_payload, clean_transcript
from tests.builders import make_transcript
from tests.fuzzing.texts import BOMBS

if TYPE_CHECKING:
    from collections.abc import Callable


# What took quadratic time once, and through which reader: minutes at a tenth of a megabyte.
ONCE_SLOW = (
    ("claim", "AKIA"), ("claim", "A1"), ("claim", "\u212a"), ("claim", "{{"), ("claim", "{}"),
    ("tool", "\u0327\u0301"), ("tool", "\ufdfa"), ("redaction", "1) "), ("payload", "1/2 "),
    ("user", "I like tea. Anna lives in Bonn since 3 May 2019! "),
    ("user", "Assistant: I like tea.\n"), ("user", "I like tea\nand cake today. "),
)  # fmt: skip
LENGTH = 30_000
LIMIT_SECONDS = 6.0
MASKED = PersonalDataPolicy(default=dict.fromkeys(PersonalKind, Handling.MASK))
HEAD = "I live in Berlin with two dogs since 3 May 2020.\n"


def distilled(text: str, role: Role) -> None:
    transcript = make_transcript(HEAD + text, role=role)
    ground(distill_transcript(transcript), transcript, "offline")


def claimed(text: str) -> None:
    """As a model may quote it, in other words than it stands there."""
    transcript = make_transcript(HEAD + text)
    draft = Draft(
        "Bob has a dog in Berlin since May.", "User", Kind.PROFILE, HEAD + text[:100], ("m0",),
        attribute="home city", value="Berlin",
    )  # fmt: skip
    ground([draft], transcript, "model")


READERS: dict[str, Callable[[str], object]] = {
    "redaction": lambda text: clean_transcript(make_transcript(text), MASKED),
    "payload": lambda text: clean_payload(text, "reason", "acme", MASKED),
    "user": lambda text: distilled(text, Role.USER),
    "assistant": lambda text: distilled(text, Role.ASSISTANT),
    "tool": lambda text: distilled(text, Role.TOOL),
    "claim": claimed,
}


@pytest.mark.parametrize(("reader", "unit"), ONCE_SLOW, ids=ascii)
def test_reading_takes_linear_time_when_a_text_is_hostile(reader: str, unit: str) -> None:
    """Thirty thousand characters cost seconds of CPU at most, whatever they are."""
    started = time.process_time()

    READERS[reader]((unit * LENGTH)[:LENGTH])

    assert time.process_time() - started < LIMIT_SECONDS


@pytest.mark.parametrize("reader", READERS)
def test_reading_takes_any_bomb(reader: str) -> None:
    """No text of the fuzzer makes a stage raise."""
    for unit in BOMBS:
        READERS[reader]((unit * 400)[:400])
