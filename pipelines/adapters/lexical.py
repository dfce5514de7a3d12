"""Text as a sparse vector: the lexical leg of every index, the same words in all of them.

A document carries the term-frequency part of BM25, a query one per distinct term, and the
inverse document frequency is the index's own business, because only it knows the corpus; their
inner product is then BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
and Beyond", 2009). The average length is a constant instead of the corpus's own: a vector must
not change when other documents arrive, and passages are cut to one length.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from pipelines.stages.composed import compatible
from pipelines.stages.stems import stem

K1 = 1.2
B = 0.75
AVERAGE_LENGTH = 60
"""Content words of a usual statement with the passage that it comes from."""
MAX_ASKED = 64
"""A search costs so much more with each word; a question of a few sentences has fewer."""

# A script that writes no spaces gives one term per character, others one per word.
_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
    r"|[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
    r"(?:'[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+)?"
)
_CONTRACTED = re.compile(r"(?:n't|'(?:s|m|re|ve|ll|d))$")

STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being but by can could
    did do does doing done for from had has have having he her here hers him his how i if in into
    is it its just may me might mine must my no nor not of off on or our ours out over shall she
    should so some such than that the their theirs them then there these they this those to too
    very was we were what when where which while who whom whose why will with would you your yours
    """.split()  # noqa: SIM905 - a hundred words read better in lines
)


@dataclass(frozen=True, slots=True)
class SparseText:
    """Terms and their weights: distinct 32-bit term numbers in ascending order."""

    indices: tuple[int, ...]
    values: tuple[float, ...]

    def __bool__(self) -> bool:
        return bool(self.indices)


def select_words(text: str) -> list[str]:
    """The content words of a text, in order, repetitions included."""
    plain = compatible(text).casefold().replace("\u2019", "'")
    words = (_CONTRACTED.sub("", word) for word in _WORD.findall(plain))
    return [word for word in words if word and word not in STOP_WORDS]


def select_terms(text: str) -> list[str]:
    """The same as stems."""
    return [stem(word) for word in select_words(text)]


def document_vector(text: str) -> SparseText:
    """What is stored of a statement: each term with its saturated, length-normalised frequency."""
    numbers = [_term_number(term) for term in select_terms(text)]
    norm = K1 * (1 - B + B * len(numbers) / AVERAGE_LENGTH)
    counts = {number: numbers.count(number) for number in sorted(set(numbers))}
    weights = tuple(count * (K1 + 1) / (count + norm) for count in counts.values())
    return SparseText(tuple(counts), weights)


def query_vector(text: str) -> SparseText:
    """What is asked for: every distinct term once. Empty if the text has no content word.

    Of a text with more than ``MAX_ASKED`` distinct words the first ones are asked for.
    """
    distinct = dict.fromkeys(_term_number(term) for term in select_terms(text))
    indices = tuple(sorted(islice(distinct, MAX_ASKED)))
    return SparseText(indices, (1.0,) * len(indices))


def inverse_document_frequency(documents: int, containing: int) -> float:
    """BM25's weight of a term, above 0; the formula of Qdrant's ``Idf`` modifier."""
    return math.log(1 + (documents - containing + 0.5) / (containing + 0.5))


@lru_cache(maxsize=8192)
def _term_number(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "big")
