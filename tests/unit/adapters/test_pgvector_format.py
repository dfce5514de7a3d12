"""By which numbers PostgreSQL knows the terms of an owner."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.pgvector_format import own_terms
from pipelines.model import Owner

terms = st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=50)
names = st.text(min_size=1, max_size=8)


@given(names, names, terms)
def test_own_terms_are_as_many_as_the_terms_and_always_the_same(
    tenant: str, user: str, asked: list[int]
) -> None:
    """What is stored is found again, and no term of an owner is taken for another one."""
    own = own_terms(Owner(tenant, user), asked)

    assert len(asked) == len(set(own))
    assert own == [number for term in asked for number in own_terms(Owner(tenant, user), [term])]
    assert all(0 <= number < 2**63 for number in own)


@given(terms.filter(bool))
def test_own_terms_of_two_owners_have_none_in_common(asked: list[int]) -> None:
    """However alike their names: an index of terms leads to the rows of one of them."""
    owners = [Owner("a", "bc"), Owner("ab", "c"), Owner("a", "b"), Owner("abc", "")]
    found = [number for owner in owners for number in own_terms(owner, asked)]

    assert len(found) == len(set(found))
