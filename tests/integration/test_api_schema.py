"""The API against its own description: whatever is sent, it answers as it says it does.

The long form is ``make fuzz``; see docs/fuzzing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzzing.requests import Asked, fuzz_api, populate
from workers.api import create_api
from workers.openapi import ROUTES

if TYPE_CHECKING:
    from tests.fuzzing.campaign import Campaign

SEED = 4
EXAMPLES = 2


def test_api_answers_as_it_describes_itself(campaign: Campaign) -> None:
    """No 5xx, only documented answers of the documented form, and nothing wrong is taken in."""
    described = create_api(campaign.container).openapi()
    asked = Asked(str(campaign.api.base_url), EXAMPLES, SEED, populate(campaign))

    assert [] == [*fuzz_api(described, asked), *campaign.report.findings]


def test_api_describes_every_route(campaign: Campaign) -> None:
    """A route that nobody described cannot be added."""
    paths = create_api(campaign.container).openapi()["paths"]

    assert set(ROUTES) == {(method, path) for path, methods in paths.items() for method in methods}
