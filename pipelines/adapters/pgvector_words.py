"""Words that very many memories of one owner hold: they score what other words find.

They would lead to most of his memories and say least about any. So a question is looked up by its
rarer words alone, and by common ones together if it has no others (after the "common terms query"
of Lucene). How often each occurs counts wherever a memory is scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

import orjson

from pipelines.adapters.pgvector_queries import Lead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of a word that fewer hold all rows are read, a few microseconds each: one in so many of the
# memories that make an owner large.
_RARE = 20
# For all words of a question together so many times as many.
_READ = 4
# They are counted again when there are so many more or fewer memories: a fifth.
_DRIFT = 5
COUNT = """
SELECT term, count(*) AS holders FROM {table} CROSS JOIN unnest(owned_terms) AS term
WHERE tenant_id = :tenant_id AND user_id = :user_id
GROUP BY term HAVING count(*) >= :least ORDER BY holders DESC, term LIMIT 4096
"""


def least_holders(large: int) -> int:
    """Memories from which on a word is common, where so many make an owner large."""
    return max(large // _RARE, 1)


@dataclass(frozen=True, slots=True)
class CommonWords:
    """Of one owner, as they were counted.

    Attributes:
        memories: How many he had then.
        least: How many of them hold a word that is common.
        holders: How many hold each of these, by its number.
    """

    memories: int
    least: int
    holders: Mapping[int, int]

    def is_outdated(self, memories: int) -> bool:
        """Whether there are so many more or fewer now that they are to be counted again."""
        return abs(memories - self.memories) * _DRIFT > self.memories

    def arrange(self, terms: Sequence[int]) -> tuple[list[int], Lead]:
        """The words of a question with those first that lead to rows."""
        most = _READ * self.least
        arranged = sorted(terms, key=lambda term: self.holders.get(term, 0))
        held = [self.holders.get(term, 0) for term in arranged]
        leading = sum(read <= most for read in accumulate(held))
        if leading:
            return arranged, Lead(leading)
        # As many hold them all as if each word were told by lot.
        for together in range(2, len(held) + 1):
            shares = [holders / self.memories for holders in held[:together]]
            if self.memories * prod(shares) <= most:
                return arranged, Lead(together, is_all=True)
        return arranged, Lead(0)


NOT_COUNTED = CommonWords(0, 0, {})


def write_words(words: CommonWords) -> str:
    """As they are kept beside a graph: text without quotation marks of SQL."""
    kept = {
        "memories": words.memories,
        "least": words.least,
        "terms": list(words.holders),
        "holders": list(words.holders.values()),
    }
    return orjson.dumps(kept).decode()


def read_words(kept: str | None) -> CommonWords:
    """What ``write_words`` wrote; none are common where nothing of that form is."""
    try:
        found = orjson.loads(kept or "")
        holders = dict(zip(found["terms"], found["holders"], strict=True))
        return CommonWords(int(found["memories"]), int(found["least"]), holders)
    except (ValueError, KeyError, TypeError):
        return NOT_COUNTED
