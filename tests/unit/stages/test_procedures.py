"""What statements say about procedures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.model import Owner
from pipelines.stages.procedures import (
    MAX_STEP_CHARS,
    MAX_STEPS,
    Instruction,
    check_instruction,
    find_meant,
    parse_procedure,
    procedure_id,
    smoothed_rate,
    tells_result,
)

NAMES = ["deploy the billing service", "rotate the keys", "rotate the billing keys"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "Ana: To deploy the billing service, first run make build, then push the tag.",
            Instruction("deploy the billing service", ("run make build", "push the tag")),
        ),
        (
            "How to restore the search index: stop beat; run memstill reindex; start beat.",
            Instruction(
                "restore the search index", ("stop beat", "run memstill reindex", "start beat")
            ),
        ),
        (
            "The steps to rotate the signing keys are stop the worker and then run rotate.sh",
            Instruction("rotate the signing keys", ("stop the worker", "run rotate.sh")),
        ),
        (
            "Our monthly billing process: export the ledger, then mail it.",
            Instruction("monthly billing", ("export the ledger", "mail it")),
        ),
        ("To start, press the button.", None),
        ("Make sure to run the tests.", None),
        ("We went to Rome, then to Naples.", None),
    ],
    ids=["to", "how", "steps", "process", "vague", "nameless", "journey"],
)
def test_a_procedure_is_learned_when_a_statement_names_its_aim(
    statement: str, expected: Instruction | None
) -> None:
    """The aim is its name, and what follows its steps; without an aim there is none."""
    assert expected == parse_procedure(statement)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("Deploying the billing service worked.", True),
        ("The deploy went fine on Friday.", True),
        ("Rotating the keys failed because the worker still ran.", False),
        ("Restarting it didn\u2019t work.", False),
        ("The deploy did not fail.", None),
        ("It failed first and then it worked.", None),
        ("If the deploy failed we would know.", None),
        ("Did the deploy work?", None),
        ("The deploy should have worked.", None),
        ("We decided to use Postgres.", None),
    ],
)
def test_a_result_is_told_when_a_statement_says_so_for_sure(
    statement: str, expected: bool | None
) -> None:
    """Denied, doubted, asked or both at once: no result."""
    assert expected == tells_result(statement)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("The billing service deploy failed.", NAMES[0]),
        ("Rotating the keys worked.", NAMES[1]),
        ("Rotating the billing keys worked.", NAMES[2]),
        ("The billing report failed.", None),
    ],
)
def test_the_procedure_meant_is_the_one_whose_name_is_said_whole(
    statement: str, expected: str | None
) -> None:
    """All its words have to stand there, in any form and order; the longer name is the nearer."""
    assert expected == find_meant(statement, NAMES)


def test_nothing_is_meant_when_two_names_fit_alike() -> None:
    """Who cannot tell does not count."""
    names = ["deploy billing", "deploy search"]
    assert find_meant("Deploying billing and search failed.", names) is None


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_rate_rises_with_successes_and_is_never_certain(successes: int, failures: int) -> None:
    """One half without outcomes, above it with more successes, always inside 0 and 1."""
    rate = smoothed_rate(successes, failures)
    assert 0 < rate < 1
    assert smoothed_rate(successes + 1, failures) > rate > smoothed_rate(successes, failures + 1)
    assert (rate > 0.5) == (successes > failures)


@pytest.mark.parametrize(
    ("name", "steps", "field"),
    [
        (" ", ["a"], "name"),
        ("a\nb", ["a"], "name"),
        ("x" * 201, ["a"], "name"),
        ("\u2026", ["a"], "name"),
        ("deploy", [], "steps"),
        ("deploy", ["a"] * (MAX_STEPS + 1), "steps"),
        ("deploy", ["a", " "], "steps[1]"),
        ("deploy", ["x" * (MAX_STEP_CHARS + 1)], "steps[0]"),
        ("deploy", ["a\x00"], "steps[0]"),
        ("deploy", ["\ud800"], "steps[0]"),
    ],
    ids=["blank", "lines", "long", "signs", "none", "many", "empty", "big", "nul", "half"],
)
def test_an_instruction_is_refused_when_it_cannot_be_kept(
    name: str, steps: list[str], field: str
) -> None:
    """The field is named."""
    with pytest.raises(InputError) as caught:
        check_instruction(name, steps)
    assert field == caught.value.field


def test_one_name_has_one_id_when_it_is_spelled_alike() -> None:
    """Case, articles and signs make no other procedure; another owner does."""
    alice = Owner("acme", "alice")
    expected = procedure_id(alice, "deploy the Billing-Service!")
    assert expected == procedure_id(alice, "Deploy billing service")
    assert expected != procedure_id(Owner("acme", "bob"), "Deploy billing service")
