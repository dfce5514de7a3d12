"""What the environment says about personal data."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from config.settings import Settings


def policy_of(monkeypatch: pytest.MonkeyPatch, value: str) -> PersonalDataPolicy:
    monkeypatch.setenv("MEMSTILL_PERSONAL_DATA", value)
    return Settings().policies().personal_data


def test_personal_data_is_kept_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting nothing is masked for anybody."""
    monkeypatch.delenv("MEMSTILL_PERSONAL_DATA", raising=False)

    handlings = Settings().policies().personal_data.handlings_of("acme")

    assert {Handling.KEEP} == set(handlings.values())


def test_personal_data_is_handled_as_one_word_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare word is the policy of every tenant."""
    policy = policy_of(monkeypatch, "mask")

    assert dict.fromkeys(PersonalKind, Handling.MASK) == policy.handlings_of("acme")


def test_personal_data_is_handled_per_tenant_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's own word, or its kinds over the default's."""
    policy = policy_of(
        monkeypatch,
        '{"default": {"iban": "drop"}, "tenants": {"acme": "mask", "globex": {"email": "mask"}},'
        ' "phone_regions": ["DE"]}',
    )

    assert {Handling.MASK} == set(policy.handlings_of("acme").values())
    assert {PersonalKind.IBAN: Handling.DROP, PersonalKind.EMAIL: Handling.MASK} == (
        policy.handlings_of("globex")
    )
    assert {PersonalKind.IBAN: Handling.DROP} == policy.handlings_of("other")
    assert ("DE",) == policy.phone_regions


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("hide", "default"),
        ('{"tenants": {"acme": "hide"}}', "tenants"),
        ('{"tenants": {"acme": {"mail": "mask"}}}', "tenants"),
        ('{"tenant": {}}', "tenant"),
        ('{"phone_regions": ["Germany"]}', "phone_regions"),
    ],
)
def test_personal_data_is_refused_by_field_when_it_says_something_else(
    monkeypatch: pytest.MonkeyPatch, value: str, field: str
) -> None:
    """A typing error does not quietly keep what should be masked."""
    with pytest.raises(ValidationError) as refused:
        policy_of(monkeypatch, value)

    assert {("personal_data", field)} == {error["loc"][:2] for error in refused.value.errors()}


def test_personal_data_is_refused_when_it_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken JSON names the setting too."""
    with pytest.raises(ValidationError, match="personal_data"):
        policy_of(monkeypatch, '{"default": ')
