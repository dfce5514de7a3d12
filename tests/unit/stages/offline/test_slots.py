"""Single-valued attributes: read where they are sure, never guessed."""

from __future__ import annotations

import pytest

from pipelines.stages.offline.slots import SlotValue, find_slot


@pytest.mark.parametrize(
    ("sentence", "attribute", "value"),
    [
        ("I live in Berlin.", "home city", "Berlin"),
        ("I live in Berlin with my wife.", "home city", "Berlin"),
        ("I now live in New York City.", "home city", "New York City"),
        ("I live in Austin, Texas.", "home city", "Austin"),
        ("I\u2019m currently living in St. Louis.", "home city", "St. Louis"),
        ("I'm based in San Francisco, near the park.", "home city", "San Francisco"),
        ("I moved to Munich last month.", "home city", "Munich"),
        ("We moved from Hamburg to Berlin.", "home city", "Berlin"),
        ("I work at Siemens now.", "employer", "Siemens"),
        ("I work for Acme Corp as a designer.", "employer", "Acme Corp"),
        ("I started at Google.", "employer", "Google"),
        ("I'm a software engineer.", "job title", "software engineer"),
        ("I work as a data scientist at Bosch", "job title", "data scientist"),
        ("My name is Bob.", "name", "Bob"),
        ("Call me Al", "name", "Al"),
        ("I'm 34 years old.", "age", "34"),
        ("I turned 30 yesterday.", "age", "30"),
        ("My birthday is on May 5th", "birthday", "May 5th"),
        ("My time zone is Europe/Berlin.", "time zone", "Europe/Berlin"),
        ("I got divorced last year", "marital status", "divorced"),
        ("My favourite colour is blue.", "favourite colour", "blue"),
        ("My favorite color is now green!", "favourite colour", "green"),
        ("Answer in Spanish from now on.", "answer language", "Spanish"),
        ("Please always answer in German", "answer language", "German"),
        ("I prefer short answers", "answer style", "short"),
        ("Keep your answers brief.", "answer style", "brief"),
        ("My budget is 500 euros.", "budget", "500 euros"),
        ("Our budget was raised to 800 EUR.", "budget", "800 EUR"),
        ("our team size is now 12", "team size", "12"),
        ("Our rate limit is 100 requests per second.", "rate limit", "100 requests per second"),
        ("Our deadline was moved to 12 May 2026.", "deadline", "12 May 2026"),
        ("I have two dogs.", "number of dogs", "2"),
        ("I have three kids, named A and B", "number of children", "3"),
    ],
)
def test_slot_is_read_when_a_sentence_surely_states_it(
    sentence: str, attribute: str, value: str
) -> None:
    """A whole clause in the first person about the present gives attribute and value."""
    assert SlotValue(attribute, value) == find_slot(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "I'm from Spain.",
        "I live in Germany.",
        "I live in a small town.",
        "I live in Berlin and Paris.",
        "I used to live in Paris.",
        "I lived in Paris.",
        "I don't live in Rome.",
        "I don\u2019t live in Rome.",
        "If I live in Rome, I eat well.",
        "I might move to Rome.",
        "I want to move to Rome.",
        "She lives in Rome.",
        "I moved to Kubernetes.",
        "We moved from MySQL to PostgreSQL.",
        "We moved to Friday.",
        "I work at home.",
        "I'm an engineer at heart.",
        "I was a nurse.",
        "call me maybe",
        "I'm 30 minutes away.",
        "My kids are 5 and 7.",
        "My son's weight is 10 kg.",
        "My birthday is next week.",
        "My favourite part is the ending.",
        "My favourite memory is a day in Rome.",
        "My favourite book is one of yours.",
        "My favourite food used to be pizza.",
        "I'm engaged in politics.",
        "Our budget is tight.",
        "Our version is 2.",
        "Our budget was 500 euros.",
        "I have two dogs and a cat.",
        "I have two dogs that bark at Bob.",
        "I have two minutes.",
        "Is my budget 500 euros?",
        "[shares image: a photo of Berlin]",
    ],
)
def test_slot_is_not_read_when_a_sentence_leaves_a_doubt(sentence: str) -> None:
    """Origins, pasts, plans, conditions, products, several values and other people give none."""
    assert None is find_slot(sentence)
