"""What is worth keeping, and what is small talk."""

from __future__ import annotations

import pytest

from pipelines.stages.offline.worth import is_worth_keeping, states_result

PEOPLE = frozenset({"melanie", "caroline"})


@pytest.mark.parametrize(
    "sentence",
    [
        "I painted that lake sunrise last year!",
        "Yeah, Caroline, I painted a lake!",
        "I'm vegan.",
        "I got the job!",
        "My mom died.",
        "They were awestruck and humbled.",
        "Still working on opening a dance studio.",
        "The API rate limit is 100 requests per minute.",
        "If the build fails, ping Bob on Slack.",
        "We decided to use Postgres.",
        "I tried pip but it failed because of the proxy.",
        "To deploy, first run make build, then push.",
        "Always answer in Spanish.",
        "Use tabs, not spaces.",
        "Never use emojis.",
        "Don\u2019t use semicolons in JS.",
        "Please remember that I'm vegan.",
        "I'm thinking of adopting a dog, what do you think?",
        "Did I tell you that we moved to Berlin?",
        "[shares image: a photo of a dog]",
    ],
)
def test_sentence_is_kept_when_it_tells_something(sentence: str) -> None:
    """Persons, events, results, wishes, procedures and knowledge are kept."""
    assert is_worth_keeping(sentence, PEOPLE)


@pytest.mark.parametrize(
    "sentence",
    [
        "Hey Melanie!",
        "Hey Mel, good to see you!",
        "Thanks a bunch, Caroline!",
        "Wow, that's awesome!",
        "That's really sweet.",
        "Good luck!",
        "Bye, Caroline!",
        "You got this!",
        "Keep up the good work!",
        "I'm so proud of you!",
        "Let me know how it goes!",
        "Sounds great.",
        "I love it!",
        "Yeah, it does!",
        "ok thanks",
        "What book are you currently reading?",
        "How have you been?",
        "Write me a poem about cats.",
        "Can you write the tests for the parser",
        "fix this bug in the parser",
        "Please summarise the article about Berlin.",
        "What if I had a million dollars",
        "If I had a boat, I'd sail to Malta.",
        "",
    ],
)
def test_sentence_is_dropped_when_it_is_small_talk_or_a_request(sentence: str) -> None:
    """Greetings, praise, questions, orders for this once and dreams are not kept."""
    assert not is_worth_keeping(sentence, PEOPLE)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The deploy failed because the disk was full.", True),
        ("Fixed by pinning numpy.", True),
        ("The root cause was a stale cache.", True),
        ("The tests now pass.", True),
        ("Your flight is booked.", True),
        ("If the deploy failed because of the disk, try again.", False),
        ("I'll let you know when it is fixed.", False),
        ("Was it fixed by the restart?", False),
        ("You live in Berlin.", False),
        ("Here is a poem about cats.", False),
    ],
)
def test_result_is_told_from_advice(sentence: str, expected: bool) -> None:
    """Of the assistant only what clearly ended somehow counts."""
    assert expected == states_result(sentence)
