"""Kind and importance by cues."""

from __future__ import annotations

import pytest

from config.policy import PromotionPolicy
from pipelines.model import Kind
from pipelines.stages.offline.kinds import is_standing_wish, weigh

PROMOTED_AT_ONCE = min(
    rule.min_importance for rule in PromotionPolicy().rules if rule.min_sessions == 1
)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("I tried pip but it failed because of the proxy", Kind.LESSON),
        ("Lesson learned: never deploy on Friday.", Kind.LESSON),
        ("We decided to use Postgres.", Kind.OUTCOME),
        ("It worked.", Kind.OUTCOME),
        ("To deploy, first run make build, then push.", Kind.PROCEDURE),
        ("Before a release, run the tests.", Kind.PROCEDURE),
        ("I went to Rome.", Kind.EVENT),
        ("I love tea.", Kind.PREFERENCE),
        ("I don\u2019t like mushrooms.", Kind.PREFERENCE),
        ("Please always answer in German.", Kind.PREFERENCE),
        ("I live in Berlin.", Kind.PROFILE),
        ("My son is called Tim.", Kind.PROFILE),
        ("I'm allergic to peanuts.", Kind.PROFILE),
        ("The API has two endpoints.", Kind.KNOWLEDGE),
    ],
)
def test_kind_follows_the_cues_of_a_sentence(sentence: str, expected: Kind) -> None:
    """What was learned, decided, done, wished or is so: each has its words."""
    assert expected == weigh(sentence, is_dated=False).kind


def test_kind_is_event_when_a_day_is_named() -> None:
    """A sentence with a certain date tells of something that happens on it."""
    assert Kind.EVENT == weigh("The launch party is tomorrow.", is_dated=True).kind


@pytest.mark.parametrize(
    "sentence",
    ["I'm debugging the parser right now", "brb", "Hold on", "I'm fixing the build at the moment"],
)
def test_importance_is_below_promotion_when_a_state_is_transient(sentence: str) -> None:
    """What passes with the session stays in the session."""
    assert weigh(sentence, is_dated=False).importance < PROMOTED_AT_ONCE


def test_importance_rises_from_knowledge_to_what_must_not_be_forgotten() -> None:
    """Health weighs most, then standing wishes, then ordinary preferences, then the rest."""
    ascending = ["Berlin is large.", "I love tea.", "Always use tabs.", "I'm allergic to nuts."]

    weights = [weigh(sentence, is_dated=False).importance for sentence in ascending]

    assert sorted(set(weights)) == weights
    assert weights[0] >= PROMOTED_AT_ONCE


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Always answer in Spanish.", True),
        ("Please don't use emojis.", True),
        ("Call me Al.", True),
        ("Use metric units.", True),
        ("Keep your answers short.", True),
        ("From now on I want tests.", True),
        ("Use pandas to load this file.", False),
        ("Write me a poem.", False),
        ("Answer this question.", False),
    ],
)
def test_standing_wish_is_told_from_a_request(sentence: str, expected: bool) -> None:
    """A wish for every time is kept, one for this time is not."""
    assert expected == is_standing_wish(sentence)
