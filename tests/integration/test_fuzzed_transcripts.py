"""Transcripts that nobody should send, over every road, on real servers.

The long form is ``make fuzz``; see docs/fuzzing.md.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.fuzzing.transcripts import make_case

if TYPE_CHECKING:
    from tests.fuzzing.campaign import Campaign

SEED = 4
COUNT = 300
AT_ONCE = 100
LARGEST = 120


def test_fuzzed_transcripts_break_nothing(campaign: Campaign) -> None:
    """No 5xx, no exception, no receipt without an end, no row that contradicts another."""
    numbers = iter(range(COUNT))
    while batch := list(itertools.islice(numbers, AT_ONCE)):
        campaign.run([make_case(SEED, number, largest=LARGEST) for number in batch])

    assert [] == campaign.report.findings
    assert COUNT == campaign.report.cases
    assert campaign.report.states["done"] > COUNT // 5
    assert campaign.report.states["dead"] > COUNT // 10
