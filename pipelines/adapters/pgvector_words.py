"""Words that very many memories of one owner hold: they score what other words find.

They would lead to most of his memories and say least about any. So a question is looked up by its
rarer words, and by those common ones that few memories hold together (after the "common terms
query" of Lucene). How often each occurs counts wherever a memory is scored.
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
# memories that make an owner large, or of his, if that is more: so many words he can have.
_RARE, _RARE_OF_HIS = 20, 1_000
# For all words of a question together so many times as many.
_READ = 4
# They are counted again when there are so many more or fewer memories, a fifth, and each day.
_DRIFT, _DAY = 5, 86_400
COUNT = """
SELECT term, count(*) AS holders FROM {table} CROSS JOIN unnest(owned_terms) AS term
WHERE tenant_id = :tenant_id AND user_id = :user_id
GROUP BY term HAVING count(*) >= :least ORDER BY holders DESC, term LIMIT 4096
"""


def least_holders(memories: int, large: int) -> int:
    """How many of an owner's memories hold a word that is common, where ``large`` is many."""
    return max(large // _RARE, memories // _RARE_OF_HIS, 1)


@dataclass(frozen=True, slots=True)
class CommonWords:
    """Of one owner, as they were counted.

    Attributes:
        counted_at: Seconds since 1970.
        memories: How many he had then.
        least: How many of them hold a word that is common.
        holders: How many hold each of these, by its number.
    """

    counted_at: int
    memories: int
    least: int
    holders: Mapping[int, int]

    def is_outdated(self, memories: int, now: float) -> bool:
        """Whether they are to be counted again, there being so many now."""
        has_drifted = abs(memories - self.memories) * _DRIFT > self.memories
        return has_drifted or now - self.counted_at > _DAY

    def arrange(self, terms: Sequence[int]) -> tuple[list[int], Lead]:
        """The words of a question with those first that lead to rows."""
        most = _READ * self.least
        arranged = sorted(terms, key=lambda term: self.holders.get(term, 0))
        held = [self.holders.get(term, 0) for term in arranged]
        leading = sum(read <= most for read in accumulate(held))
        left = most - sum(held[:leading])
        # As many hold them all as if each word were told by lot.
        for together in range(2, len(held) - leading + 1):
            shares = [holders / self.memories for holders in held[leading : leading + together]]
            if self.memories * prod(shares) <= left:
                return arranged, Lead(leading, together)
        return arranged, Lead(leading)


NOT_COUNTED = CommonWords(0, 0, 0, {})


def write_words(words: CommonWords) -> str:
    """As they are kept beside a graph: text without quotation marks of SQL."""
    kept = {
        "counted_at": words.counted_at,
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
        holders = dict(zip(map(int, found["terms"]), map(int, found["holders"]), strict=True))
        counted_at, memories = int(found["counted_at"]), int(found["memories"])
        words = CommonWords(counted_at, memories, int(found["least"]), holders)
    except (ValueError, KeyError, TypeError):
        return NOT_COUNTED
    return words if words.memories else NOT_COUNTED
