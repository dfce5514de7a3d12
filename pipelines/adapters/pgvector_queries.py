"""How PostgreSQL is asked for candidates, every query for one owner's rows."""

from __future__ import annotations

from functools import lru_cache

# Every row is read once, and only narrow rows are kept of it. Words are weighed row by row, not
# joined: before the first ANALYZE of a fresh table a join is planned for one row, and took ten
# times as long.
_SEARCH = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), mine AS MATERIALIZED (
    SELECT memory_id, 1 - (embedding <=> query.vector) AS cosine,
           (scope <> 'session' OR session_id = CAST(:session_id AS text)) AND CASE
               WHEN CAST(:as_of AS double precision) IS NULL THEN state = 'active'
               ELSE valid_from <= :as_of AND :as_of < valid_to
           END AS is_visible{weights}
    FROM {table} CROSS JOIN query
    WHERE tenant_id = :tenant_id AND user_id = :user_id
), rarity AS MATERIALIZED (
    SELECT everything{rarity} FROM (SELECT count(*) AS everything{holding} FROM mine) AS counted
), scored AS MATERIALIZED (
    SELECT memory_id, cosine, {score} AS score FROM mine CROSS JOIN rarity WHERE is_visible
)
(SELECT memory_id, cosine, score FROM scored ORDER BY cosine DESC, memory_id LIMIT :limit)
UNION
(SELECT memory_id, cosine, score FROM scored WHERE score IS NOT NULL
 ORDER BY score DESC, memory_id LIMIT :limit)
"""
# To find the place of a word takes four times as long as to see that it is not there.
_WEIGHT = (
    "CASE WHEN CAST(:term_{n} AS bigint) = ANY (terms)"
    " THEN weights[array_position(terms, CAST(:term_{n} AS bigint))] END AS weight_{n}"
)
_HOLDING = "count(weight_{n}) AS holding_{n}"
# The inverse document frequency of BM25, in this user's own rows.
_RARITY = (
    "ln(1 + CAST(2 * (everything - holding_{n}) + 1 AS double precision) / (2 * holding_{n} + 1))"
    " AS rarity_{n}"
)
_SHARE = "coalesce(weight_{n} * rarity_{n}, 0)"


@lru_cache
def make_search(terms: int) -> str:
    """The candidates of both legs with both of their scores.

    Args:
        terms: How many words are asked for, as parameters ``term_0``, ``term_1`` and so on.
    """
    numbers = range(terms)
    found = ", ".join(f"weight_{n}" for n in numbers)
    score = " + ".join(_SHARE.format(n=n) for n in numbers)
    return _SEARCH.format(
        table="{table}",
        weights="".join(f",\n           {_WEIGHT.format(n=n)}" for n in numbers),
        holding="".join(f", {_HOLDING.format(n=n)}" for n in numbers),
        rarity="".join(f", {_RARITY.format(n=n)}" for n in numbers),
        score=f"CASE WHEN coalesce({found}) IS NOT NULL THEN {score} END"
        if terms
        else "CAST(NULL AS double precision)",
    )


_NEIGHBOURS = """
SELECT number, memory_id
FROM (VALUES {queries}) AS asked (number, vector) CROSS JOIN LATERAL (
    SELECT memory_id, embedding <=> asked.vector AS distance FROM {table}
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND state = 'active'
    ORDER BY distance, memory_id LIMIT :limit
) AS nearest
ORDER BY number, distance, memory_id
"""


@lru_cache
def make_neighbours(vectors: int) -> str:
    """What is nearest to each of so many vectors, parameters ``vector_0`` and so on."""
    queries = ", ".join(f"({n}, CAST(:vector_{n} AS vector))" for n in range(vectors))
    return _NEIGHBOURS.format(table="{table}", queries=queries)
