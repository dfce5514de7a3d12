"""Whether two statements say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.policy import DedupPolicy
from pipelines.stages.dedup import is_duplicate, same_value, statement_key, vetoes

POLICY = DedupPolicy()
NEAR = 0.97

_VOCABULARY = (
    "Nadia Oskar Porto Turin I user he she likes liked hates bought sold moved works not never "
    "no longer two three 7 12 17:00 March 2024 Friday kg lb euros before after from to by with "
    "without dog cat tea and of is was the a . ? more less first second 3rd May 5 km"
)
_WORDS = st.sampled_from(_VOCABULARY.split())
_STATEMENTS = st.lists(_WORDS, min_size=1, max_size=12).map(" ".join) | st.text(max_size=40)
_FIGURE_PARTS = (
    "12 3rd 1st 2-3 1/2 +3.5 -5 1,000 2023-05-08 8.5.2023 12/31/2024 1990s 90s 1999 17:00 5pm pm "
    "o'clock noon midnight once twice $ 5k 82kg % May Monday hour hours 30 minutes seconds days "
    "and of twenty five hundred thousand \u0663 \u00bd \u00b2 \uff11\uff12:\uff13\uff10"
)
_FIGURES = st.lists(st.sampled_from(_FIGURE_PARTS.split()), max_size=9).map(" ".join)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The user keeps three hens.", "User keeps 3 hens"),
        ("Rent is 1,250 euros!", "rent is 1250 euros"),
        ("She ran twenty-one miles", "she ran 21 miles."),
        ("He saved two hundred and five euros", "He saved 205 euros"),
        ("The town has 1.5 million people", "The town has 1500000 people"),
        ("User can't swim", "The user cannot swim."),
        ("User won't fly", "User will not fly"),
        ("Please answer in Welsh", "Answer in Welsh, please."),
        ("Nadia\u2019s cat is deaf", "Nadia's cat is deaf"),
        ("\uff35ser has \uff17 hens", "User has 7 hens"),
        ("The  caf\u00e9\nis shut", "The cafe\u0301 is shut"),
        ("Stra\u00dfe is closed", "STRASSE is closed"),
        ("Meets at 5 p.m.", "Meets at 5 pm"),
        ("The user plays the third horn", "User plays 3rd horn"),
    ],
)
def test_statement_key_is_equal_when_only_the_writing_differs(a: str, b: str) -> None:
    """Case, signs, articles, politeness and spelled numbers do not make a statement another."""
    assert statement_key(a) == statement_key(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Uses Python 3.9", "Uses Python 39"),
        ("Uses Python 3.1", "Uses Python 3.10"),
        ("Dose is .5 mg", "Dose is 5 mg"),
        ("It is -5 outside", "It is 5 outside"),
        ("Room 205", "Room 200 5"),
        ("The area is 5\u00b2", "The area is 52"),
        ("Add 1\u00bd cups", "Add 11/2 cups"),
        ("Badge 007", "Badge 7"),
        ("Writes C++", "Writes C#"),
        ("Writes C", "Writes C#"),
        ("Costs $5", "Costs \u20ac5"),
        ("Has had hepatitis A", "Has had hepatitis"),
        ("Chose plan A for the house", "Chose plan for the house"),
        ("User had hepatitis a.", "User had hepatitis."),
        ("Ana: A.", "Ana: The."),
        ("User takes vitamin a", "User takes vitamin"),
        ("User does smoke", "User does not smoke"),
        ("Is allergic to nuts?", "Is allergic to nuts."),
        ("No one is invited", "No. 1 is invited"),
        ("Lives in Turin", "Lives in Porto"),
        ("\u0915\u093f", "\u0915\u0940"),
        ("We're late", "Were late"),
        ("Wants to please her mother", "Wants to her mother"),
        ("x > 5", "x < 5"),
        ("\U0001f600", "\U0001f622"),
    ],
)
def test_statement_key_differs_when_the_meaning_does(a: str, b: str) -> None:
    """Numbers, signs that carry meaning, names and negation keep statements apart."""
    assert statement_key(a) != statement_key(b)


@given(_STATEMENTS)
def test_statement_key_is_never_empty_when_the_statement_is_not(statement: str) -> None:
    """A statement of signs alone keeps them, so that two different ones stay different."""
    assert bool(statement.split()) == bool(statement_key(statement))


@given(_STATEMENTS)
def test_statement_key_ignores_case_and_white_space(statement: str) -> None:
    """Folding white space leaves the key as it was."""
    assert statement_key(statement) == statement_key("  " + "\n".join(statement.split(" ")) + "\t")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Turin", "turin"),
        ("700 EUR", "\u20ac700"),
        ("700 euros", "\u20ac700"),
        ("$1.5k", "1500 dollars"),
        ("three", "3"),
        ("Porto, Portugal", "Porto"),
        ("Porto (Portugal)", "porto"),
        ("Austin, TX", "Austin"),
        ("in Turin", "Turin"),
        ("75 minutes", "1 hour 15 minutes"),
        ("3 km", "3000 m"),
        ("60kg", "60 kg"),
        ("6 pm", "18:00"),
        ("2024-03-09", "9 March 2024"),
        ("March 9th, 2024", "9 March 2024"),
        ("\u20ac20 per month", "20 euros per month"),
    ],
)
def test_same_value_holds_when_only_the_spelling_differs(a: str, b: str) -> None:
    """A slot does not change because its value is written otherwise."""
    assert same_value(a, b)
    assert same_value(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("700 EUR", "700 USD"),
        ("700 EUR", "70 EUR"),
        ("Austin, TX", "Austin, Canada"),
        ("Portugal", "Porto, Portugal"),
        ("Nadia, Oskar", "Nadia"),
        ("light theme", "dark theme"),
        ("3.9", "3.12"),
        ("\u20ac20 per month", "\u20ac20 per week"),
        ("9 March 2024", "9 March 2025"),
        ("yes", "no"),
        (None, "Turin"),
        (None, None),
    ],
)
def test_same_value_fails_when_the_values_differ_or_are_unknown(
    a: str | None, b: str | None
) -> None:
    """Another amount, unit, place or day is another value, and nothing equals the unknown."""
    assert not same_value(a, b)
    assert not same_value(b, a)


@pytest.mark.parametrize(
    ("reason", "a", "b"),
    [
        ("number", "User has two hens", "User has 4 hens"),
        ("number", "Two hens and five ducks", "Five hens and two ducks"),
        ("number", "Nadia's second book is out", "Nadia's third book is out"),
        ("number", "Trains once a week", "Trains twice a week"),
        ("unit", "The parcel weighs 8 kg", "The parcel weighs 8 lb"),
        ("unit", "The fee is 9 euros", "The fee is 9 dollars"),
        ("unit", "The limit is 40 calls per minute", "The limit is 40 calls per hour"),
        ("date", "The exam is on 3 June", "The exam is on 4 June"),
        ("date", "The shop opens on Tuesday", "The shop opens on Sundays"),
        ("date", "They met in 2011", "They met in 2012"),
        ("date", "The call is at 9 am", "The call is at 9 pm"),
        ("date", "The call is at 9:30", "The call is at 9:45"),
        ("name", "Nadia went sailing", "Oskar went sailing"),
        ("name", "User studies Welsh", "User studies Danish"),
        ("name", "Ana: I keep bees.", "Leo: I keep bees."),
        ("negation", "User eats fish", "User does not eat fish"),
        ("negation", "User eats fish", "User never eats fish"),
        ("negation", "User plays golf", "User no longer plays golf"),
        ("negation", "User plays golf", "User stopped playing golf"),
        ("negation", "User plays golf", "User doesn't play golf anymore"),
        ("negation", "User can drive", "User can't drive"),
        ("negation", "User likes olives", "User dislikes olives"),
        ("negation", "Coffee with sugar", "Coffee without sugar"),
        ("negation", "User wants jam but not honey", "User wants honey but not jam"),
        ("antonym", "Runs before breakfast", "Runs after breakfast"),
        ("antonym", "The scar is on the left arm", "The scar is on the right arm"),
        ("antonym", "Logging is enabled", "Logging is disabled"),
        ("antonym", "Turn the sync on", "Turn the sync off"),
        ("antonym", "Swims in the morning", "Swims in the evening"),
        ("antonym", "Wants more tests", "Wants fewer tests"),
        ("antonym", "Oskar is happy there", "Oskar is unhappy there"),
        ("antonym", "User's aunt is a judge", "User's uncle is a judge"),
        ("antonym", "He keeps bees", "She keeps bees"),
        ("tense", "User works at the mill", "User worked at the mill"),
        ("tense", "User is a judge", "User was a judge"),
        ("role", "The user lent Oskar a tent", "Oskar lent the user a tent"),
        ("role", "Nadia praised Oskar's soup", "Oskar praised Nadia's soup"),
        ("role", "Nadia is older than Oskar", "Oskar is older than Nadia"),
        ("role", "User moved from Porto to Turin", "User moved from Turin to Porto"),
        ("role", "User flew to Turin", "User flew from Turin"),
        ("role", "A grey goat and a brown cow", "A brown goat and a grey cow"),
        ("role", "Raised the limit from 5 to 9", "Raised the limit from 9 to 5"),
        ("question", "Is the gate shut?", "The gate is shut"),
    ],
)
def test_vetoes_name_the_reason_when_statements_contradict(reason: str, a: str, b: str) -> None:
    """What a vector blurs is told apart by its words."""
    assert reason in vetoes(a, b)
    assert list(vetoes(a, b)) == list(vetoes(b, a))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("User has two hens", "The user owns 2 hens."),
        ("The call is at 5 pm", "At 17:00 is the call"),
        ("User ran for 90 minutes", "User ran for 1 hour 30 minutes"),
        ("User moved from Porto to Turin", "User moved to Turin from Porto"),
        ("User dislikes olives", "User does not like olives"),
        ("Oskar praised the user", "The user was praised by Oskar"),
        ("Nadia and Oskar sing duets", "Oskar and Nadia sing duets"),
        ("User has hens", "User has two hens"),
    ],
)
def test_vetoes_stay_away_when_statements_agree(a: str, b: str) -> None:
    """Another wording, or one more detail, contradicts nothing."""
    assert not list(vetoes(a, b))


@given(_STATEMENTS, _STATEMENTS)
def test_vetoes_are_symmetric(a: str, b: str) -> None:
    """Which statement came first decides nothing."""
    assert list(vetoes(a, b)) == list(vetoes(b, a))


@given(_STATEMENTS)
def test_vetoes_are_empty_when_a_statement_meets_itself(statement: str) -> None:
    """Nothing contradicts itself."""
    assert not list(vetoes(statement, statement))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("User has two hens", "The user owns 2 hens."),
        ("User plays the cello", "User is a cello player"),
        ("User is allergic to pollen", "The user has a pollen allergy"),
        ("Nadia is the user's niece", "The user's niece is named Nadia"),
        ("In May 2023 the user bought a boat", "The user purchased a boat in May 2023"),
        ("Ana: I really love my garden.", "Ana: I love my garden!"),
        ("User moved from Porto to Turin", "The user relocated to Turin from Porto."),
    ],
)
def test_is_duplicate_holds_when_both_say_as_much(a: str, b: str) -> None:
    """The same words of substance, in whatever form and order, are one memory."""
    assert is_duplicate(a, b, NEAR, POLICY)
    assert is_duplicate(b, a, NEAR, POLICY)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("User has a parrot", "User has a parrot named Kiwi"),
        ("User has hens", "User has two hens"),
        ("User has a boat", "User has a boat since 2019"),
        ("User has a bicycle", "User has a folding bicycle"),
        ("User bought a red kayak", "User bought a red canoe"),
        ("User has a boat", "User sold a boat"),
        ("User lives in Turin", "User will live in Turin"),
        ("User moved to Turin", "User might move to Turin"),
        ("User drinks milk", "User drinks milk if it is warm"),
        ("I like tea", "You like tea"),
        ("I like tea", "He likes tea"),
        ("Nadia has a bag and another bag", "Nadia has another bag"),
        ("Ana: It really was!", "Ana: Oh wow!"),
        ("User keeps two hens", "User keeps three hens"),
    ],
)
def test_is_duplicate_fails_when_one_says_something_else_or_more(a: str, b: str) -> None:
    """However near the vectors are, no truth is swallowed."""
    assert not is_duplicate(a, b, 0.999, POLICY)
    assert not is_duplicate(b, a, 0.999, POLICY)


def test_is_duplicate_needs_near_vectors_when_the_keys_differ() -> None:
    """Words that agree are confirmed by the vectors, from the threshold on."""
    a, b = "User has two hens", "The user owns 2 hens."
    assert is_duplicate(a, b, POLICY.min_cosine, POLICY)
    assert not is_duplicate(a, b, POLICY.min_cosine - 0.01, POLICY)


def test_is_duplicate_needs_no_vector_when_the_keys_are_equal() -> None:
    """What is said in the same words is the same, whatever an embedder thinks of it."""
    assert is_duplicate("User keeps two hens.", "the user keeps 2 hens", 0.0, POLICY)


@given(_FIGURES, _FIGURES)
def test_any_figures_can_be_compared(a: str, b: str) -> None:
    """Ranges, fractions, dates and hours beside each other, however little sense they make."""
    assert list(vetoes(a, b)) == list(vetoes(b, a))


def test_ranges_and_fractions_are_not_added_to_what_follows() -> None:
    """They are no numbers, and a consolidation must not fail because of one."""
    assert "number" in vetoes("The hike takes 2-3 hours 30 minutes", "The hike takes 4 hours")
    assert not list(vetoes("It took 1/2 hour 30 seconds", "He says it took 1/2 hour 30 seconds"))


@given(_STATEMENTS, _STATEMENTS)
def test_is_duplicate_is_symmetric_and_never_against_a_veto(a: str, b: str) -> None:
    """The older of two memories has no other say than the newer."""
    verdict = is_duplicate(a, b, NEAR, POLICY)
    assert verdict == is_duplicate(b, a, NEAR, POLICY)
    assert not (verdict and list(vetoes(a, b)))
