"""Cutting messages into sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.offline.sentences import is_image, split_sentences


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("I like tea. I hate jam!", ["I like tea.", "I hate jam!"]),
        ("Dr. Smith runs 3.5 km. He is 40.", ["Dr. Smith runs 3.5 km.", "He is 40."]),
        ("We met at 5 p.m. on Monday. Fine.", ["We met at 5 p.m. on Monday.", "Fine."]),
        ("See https://a.example/b?c=1. OK!", ["See https://a.example/b?c=1.", "OK!"]),
        ("J. Smith, i.e. John, came.", ["J. Smith, i.e. John, came."]),
        ("Wow!! Really? yes... maybe. Fine.", ["Wow!!", "Really?", "yes... maybe.", "Fine."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("I did it \U0001f60a We went home.", ["I did it \U0001f60a", "We went home."]),
        (
            "- I like tea\n* I hate jam\n1. First\n2) Last",
            ["I like tea", "I hate jam", "First", "Last"],
        ),
        ("I moved to\nBerlin last year.\nFine", ["I moved to Berlin last year.", "Fine"]),
        ("I moved house,\nand it was hard.", ["I moved house, and it was hard."]),
        (
            "I made it. [shares image: a bowl. Blue!] Nice.",
            ["I made it.", "[shares image: a bowl. Blue!]", "Nice."],
        ),
        ("", []),
    ],
)
def test_message_is_cut_at_the_ends_of_its_sentences(content: str, expected: list[str]) -> None:
    """Abbreviations, decimals and addresses end none; lists, line breaks and notes do."""
    assert expected == list(split_sentences(content))


@pytest.mark.parametrize(
    "content",
    [
        "```py\nprint('I like tea.')\n```\nKept.",
        "```\nunterminated I like tea.",
        "Kept.\n2026-01-01 12:00:00 ERROR I like tea.",
        'Traceback (most recent call last):\n  File "x.py", line 3, in f\nValueError: bad\nKept.',
        "[INFO] I like tea\nKept.",
        '{"tea": 1,\n"jam": [1, 2]}\nKept.',
        "$ make tea\nKept.",
        "> I like tea, said Bob\nKept.",
        "| tea | jam |\nKept.",
        "    at com.tea.Jam(Tea.java:3)\nKept.",
        "<div>tea</div>\nKept.",
    ],
)
def test_code_logs_and_quotations_are_left_out(content: str) -> None:
    """What the speaker pasted is not what the speaker said."""
    expected = ["Kept."] if "Kept." in content else []

    assert expected == list(split_sentences(content))


def test_image_note_is_told_from_a_sentence() -> None:
    """Only a whole attachment note is one."""
    assert (True, False) == (
        is_image("[shares image: a photo of a cat]"),
        is_image("I made this [shares image: a cat]"),
    )


@given(st.text(alphabet="aB.!? \n-`[]:1", max_size=80))
def test_sentences_stand_in_their_message(content: str) -> None:
    """Every sentence is a part of the message but for its line breaks."""
    flat = " ".join(content.split())

    assert all(" ".join(sentence.split()) in flat for sentence in split_sentences(content))
