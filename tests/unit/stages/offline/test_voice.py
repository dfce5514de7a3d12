"""The speaker by name: in the third person where that is surely grammatical."""

from __future__ import annotations

import pytest

from pipelines.stages.offline.voice import name_speaker


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("I prefer short answers", "Alice prefers short answers"),
        ("I live in Berlin.", "Alice lives in Berlin."),
        ("I like tea and coffee.", "Alice likes tea and coffee."),
        ("I always use tabs", "Alice always uses tabs"),
        ("I study law", "Alice studies law"),
        ("I watch films", "Alice watches films"),
        ("I have two dogs.", "Alice has two dogs."),
        ("I don't eat meat", "Alice doesn't eat meat"),
        ("I haven\u2019t seen it", "Alice hasn't seen it"),
        ("I'm allergic to peanuts", "Alice is allergic to peanuts"),
        ("I\u2019ve been to Rome", "Alice has been to Rome"),
        ("I'll be in Rome tomorrow", "Alice will be in Rome tomorrow"),
        ("I'd like a window seat", "Alice would like a window seat"),
        ("I went to Rome and saw the Pope.", "Alice went to Rome and saw the Pope."),
        ("I can't swim", "Alice can't swim"),
        ("My budget is 500 euros.", "Alice's budget is 500 euros."),
        ("Yeah, I painted that.", "Alice painted that."),
        ("Remember that I'm allergic to peanuts.", "Alice is allergic to peanuts."),
    ],
)
def test_speaker_is_named_in_the_third_person(sentence: str, expected: str) -> None:
    """Simple known verbs are conjugated; what opened the sentence is dropped."""
    assert expected == name_speaker(sentence, "Alice")


@pytest.mark.parametrize(
    "sentence",
    [
        "I live in Berlin and work at Siemens.",
        "I love my dog",
        "I told you so",
        "I read books",
        "I'd gone home",
        "I frobnicate daily",
        "My dog",
        "My mom knows me",
        "We moved to Berlin",
        "The sun shines",
        "i live in rome",
        "Always answer in Spanish.",
    ],
)
def test_sentence_stays_verbatim_behind_the_name_when_it_cannot_be_turned_surely(
    sentence: str,
) -> None:
    """Unknown verbs, second verbs, other persons and tenses that look alike are left as said."""
    assert f"Alice: {sentence}" == name_speaker(sentence, "Alice")
