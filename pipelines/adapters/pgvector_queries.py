"""How PostgreSQL is asked for candidates, every query for one owner's rows."""

from __future__ import annotations

from functools import lru_cache

# By meaning every row of the owner is compared; by words only those are read that share one: the
# terms are the owner's own numbers, so the index of terms names nobody else's rows. Both legs are
# scored with what their rows hold. They are not joined: before the first ANALYZE of a fresh table a
# join is planned for one row, and took ten times as long.
_SEARCH = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), near AS MATERIALIZED (
    SELECT memory_id, 1 - (embedding <=> query.vector) AS cosine{weights}
    FROM {table} CROSS JOIN query
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND {is_visible}
    ORDER BY embedding <=> query.vector, memory_id LIMIT :limit
), named AS MATERIALIZED (
    SELECT tenant_id, user_id, {is_visible} AS is_visible,
           memory_id, 1 - (embedding <=> query.vector) AS cosine{weights}
    FROM {table} CROSS JOIN query WHERE owned_terms && ARRAY[{terms}]
), mine AS MATERIALIZED (
    SELECT * FROM named WHERE tenant_id = :tenant_id AND user_id = :user_id
), rarity AS MATERIALIZED (
    SELECT everything{rarity} FROM (
        SELECT (SELECT count(*) FROM {table}
                WHERE tenant_id = :tenant_id AND user_id = :user_id) AS everything{holding}
        FROM mine
    ) AS counted
)
SELECT memory_id, cosine, {score} AS score FROM near CROSS JOIN rarity
UNION
(SELECT memory_id, cosine, {score} AS score FROM mine CROSS JOIN rarity
 WHERE is_visible ORDER BY score DESC, memory_id LIMIT :limit)
"""
_SEARCH_WITHOUT_WORDS = """
SELECT memory_id, 1 - (embedding <=> CAST(:vector AS vector)) AS cosine,
       CAST(NULL AS double precision) AS score
FROM {table} WHERE tenant_id = :tenant_id AND user_id = :user_id AND {is_visible}
ORDER BY embedding <=> CAST(:vector AS vector), memory_id LIMIT :limit
"""
_IS_VISIBLE = """
    (scope <> 'session' OR session_id = CAST(:session_id AS text)) AND CASE
        WHEN CAST(:as_of AS double precision) IS NULL THEN state = 'active'
        ELSE valid_from <= :as_of AND :as_of < valid_to
    END"""
_TERM = "CAST(:term_{n} AS bigint)"
# To find the place of a word takes four times as long as to see that it is not there.
_WEIGHT = (
    f"CASE WHEN {_TERM} = ANY (owned_terms) THEN weights[array_position(owned_terms, {_TERM})] END"
    " AS weight_{n}"
)
_HOLDING = "count(weight_{n}) AS holding_{n}"
# The inverse document frequency of BM25, in this owner's own rows.
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
    if not terms:
        return _SEARCH_WITHOUT_WORDS.format(table="{table}", is_visible=_IS_VISIBLE)
    numbers = range(terms)
    found = ", ".join(f"weight_{n}" for n in numbers)
    score = " + ".join(_SHARE.format(n=n) for n in numbers)
    return _SEARCH.format(
        table="{table}",
        is_visible=_IS_VISIBLE,
        terms=", ".join(_TERM.format(n=n) for n in numbers),
        weights="".join(f",\n           {_WEIGHT.format(n=n)}" for n in numbers),
        holding="".join(f", {_HOLDING.format(n=n)}" for n in numbers),
        rarity="".join(f", {_RARITY.format(n=n)}" for n in numbers),
        score=f"CASE WHEN coalesce({found}) IS NOT NULL THEN {score} END",
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
