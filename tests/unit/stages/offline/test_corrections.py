"""What a speaker takes back, and what "the deadline" is the deadline of."""

from __future__ import annotations

import pytest

from pipelines.stages.offline.corrections import find_correction
from pipelines.stages.offline.slots import SlotValue
from pipelines.stages.offline.topics import find_topic, qualify, topic_of


@pytest.mark.parametrize(
    ("sentence", "last", "value"),
    [
        ("Actually, I meant Tuesday.", SlotValue("dentist appointment", "Monday at 8"), "Tuesday"),
        ("Sorry, it's on Thursday at 9:30.", SlotValue("standup", "Monday"), "Thursday at 9:30"),
        ("Actually, make that 600 euros.", SlotValue("budget", "500 euros"), "600 euros"),
        ("No wait, it's 12 May, not 10.", SlotValue("deadline", "10 May"), "12 May"),
        ("I meant Köln.", SlotValue("home city", "Bonn"), "Köln"),
    ],
)
def test_correction_is_read_when_the_value_is_of_the_same_sort(
    sentence: str, last: SlotValue, value: str
) -> None:
    """The attribute stays, the value is the one that was meant."""
    assert SlotValue(last.attribute, value) == find_correction(sentence, last)


@pytest.mark.parametrize(
    ("sentence", "last"),
    [
        ("It's Tuesday.", SlotValue("standup", "Monday")),
        ("Actually, it's raining.", SlotValue("standup", "Monday")),
        ("Actually, I meant Tuesday.", SlotValue("budget", "500 euros")),
        ("Actually, make that 20 minutes.", SlotValue("budget", "500 euros")),
        ("I meant Linear.", SlotValue("tool", "Jira")),
        ("Actually, I meant Tuesday.", SlotValue("standup", "Monday", ends=True)),
    ],
)
def test_correction_is_not_read_when_it_could_mean_something_else(
    sentence: str, last: SlotValue
) -> None:
    """Today's weekday, another unit and what is filed with many values correct nothing."""
    assert None is find_correction(sentence, last)


@pytest.mark.parametrize(
    ("sentence", "topic"),
    [
        ("I'm working on the grant application.", "grant application"),
        ("About the thesis: it goes well.", "thesis"),
        ("On the other hand, we wait for the first time.", None),
        ("The report is done.", None),
    ],
)
def test_topic_is_found_when_a_sentence_names_it(sentence: str, topic: str | None) -> None:
    """What one works on is a topic, a turn of phrase is none."""
    assert topic == find_topic(sentence)


def test_bare_attribute_is_qualified_by_what_the_talk_is_about() -> None:
    """Two deadlines of two talks never meet in one slot."""
    said = "For the grant application the deadline is 3 May."

    assert "grant application deadline" == qualify("deadline", said, "thesis")
    assert "thesis deadline" == qualify("deadline", "The deadline is 3 May.", "thesis")
    assert "deadline" == qualify("deadline", "The deadline is 3 May.", None)
    assert "laptop budget" == qualify("budget", "My budget is 800 euros.", "laptop")
    assert "home city" == qualify("home city", "I live in Bonn.", "thesis")
    assert ("thesis", None) == (topic_of("thesis deadline"), topic_of("monthly cloud budget"))
