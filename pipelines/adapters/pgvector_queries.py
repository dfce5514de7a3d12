"""How PostgreSQL is asked for candidates, every query for one owner's rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

# By meaning every row of the owner is compared; by words only those are read that hold one: the
# terms are the owner's own numbers, so the index of terms names nobody else's rows. Both legs are
# scored with what their rows hold, and of what words alone have found only the best is compared.
# They are not joined: before the first ANALYZE of a fresh table a join is planned for one row, and
# took ten times as long.
_SEARCH = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), near AS MATERIALIZED ({near}
), named AS MATERIALIZED (
    SELECT tenant_id, user_id, {is_visible} AS is_visible, memory_id{weights}
    FROM {table} WHERE {condition}
), mine AS MATERIALIZED (
    SELECT * FROM named WHERE tenant_id = :tenant_id AND user_id = :user_id
), rarity AS MATERIALIZED ({rarity})
SELECT memory_id, cosine, {score} AS score FROM near CROSS JOIN rarity
UNION
SELECT memory_id, (
    SELECT 1 - (embedding <=> query.vector) FROM {table} AS stored CROSS JOIN query
    WHERE stored.memory_id = best.memory_id
) AS cosine, score
FROM (
    SELECT memory_id, {score} AS score FROM mine CROSS JOIN rarity
    WHERE is_visible ORDER BY score DESC, memory_id LIMIT :limit
) AS best
"""
_SEARCH_BY_MEANING = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), near AS MATERIALIZED ({near}
), rarity AS MATERIALIZED ({rarity})
SELECT memory_id, cosine, {score} AS score FROM near CROSS JOIN rarity
"""
_SEARCH_WITHOUT_WORDS = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), near AS MATERIALIZED ({near}
)
SELECT memory_id, cosine, CAST(NULL AS double precision) AS score FROM near
"""
_NEAR = """
    SELECT memory_id, 1 - (embedding <=> query.vector) AS cosine{weights}
    FROM {table} CROSS JOIN query
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND {is_visible}
    ORDER BY embedding <=> query.vector, memory_id LIMIT :limit"""
_COUNT = "(SELECT count(*) FROM {table} WHERE tenant_id = :tenant_id AND user_id = :user_id)"
# A graph is walked only where its owner's number stands in the statement, and the vector is a
# parameter. The number leads to the rows; whose they are is looked at.
_NEAR_BY_GRAPH = """
    SELECT memory_id, 1 - (embedding <=> query.vector) AS cosine{weights}
    FROM (
        SELECT * FROM {table} WHERE owner_number = {number} AND {is_visible}
        ORDER BY CAST(embedding AS halfvec({size}))
            <=> CAST(CAST(:vector AS vector) AS halfvec({size}))
        LIMIT :limit
    ) AS walked CROSS JOIN query
    WHERE tenant_id = :tenant_id AND user_id = :user_id"""
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
_KNOWN = "CAST(:holding_{n} AS bigint)"
# The inverse document frequency of BM25, in this owner's own rows.
_RARITY = (
    "ln(1 + CAST(2 * (everything - holding_{n}) + 1 AS double precision) / (2 * holding_{n} + 1))"
    " AS rarity_{n}"
)
_RARITIES = """
    SELECT everything{rarity} FROM (SELECT {everything} AS everything{holding} {read}) AS counted
"""
_SHARE = "coalesce(weight_{n} * rarity_{n}, 0)"


@dataclass(frozen=True, slots=True)
class Lead:
    """Which words of a question lead to rows: the others score what is found.

    How many memories hold a word is counted where all its rows are read, and for every other one
    a parameter, ``holding_3`` for ``term_3``.

    Attributes:
        words: So many, the first ones, lead to every row that holds one of them.
        together: So many after these lead to the rows that hold all of them.
    """

    words: int
    together: int = 0

    def condition(self) -> str:
        """Of the rows that they lead to; empty where there are none."""
        parts = (("&&", range(self.words)), ("@>", range(self.words, self.words + self.together)))
        return " OR ".join(
            f"owned_terms {operator} ARRAY[{', '.join(_TERM.format(n=n) for n in numbers)}]"
            for operator, numbers in parts
            if numbers
        )


@lru_cache(maxsize=512)
def make_search(terms: int, graph: int | None = None, lead: Lead | None = None) -> str:
    """The candidates of both legs with both of their scores.

    Args:
        terms: How many words are asked for, as parameters ``term_0``, ``term_1`` and so on.
        graph: The number of the owner, if there is a graph of his: then what is near is found
            by it, and how many ``memories`` there are is a parameter.
        lead: Where not all words lead to all rows that hold them.
    """
    lead = lead or Lead(terms)
    condition = lead.condition()
    weights = "".join(f",\n           {_WEIGHT.format(n=n)}" for n in range(terms))
    near = (_NEAR if graph is None else _NEAR_BY_GRAPH).format(
        table="{table}",
        size="{size}",
        number=graph,
        is_visible=_IS_VISIBLE,
        weights=weights,
    )
    if not terms:
        return _SEARCH_WITHOUT_WORDS.format(near=near)
    template = _SEARCH if condition else _SEARCH_BY_MEANING
    return template.format(
        table="{table}",
        near=near,
        is_visible=_IS_VISIBLE,
        condition=condition,
        weights=weights,
        rarity=_rarity(terms, lead.words, has_graph=graph is not None),
        score=_score(terms),
    )


def _rarity(terms: int, counted: int, *, has_graph: bool) -> str:
    held = [f"count(weight_{n})" if n < counted else _KNOWN.format(n=n) for n in range(terms)]
    # There are no fewer memories than hold one of the words, whenever they were counted.
    everything = f"greatest(CAST(:memories AS bigint), {', '.join(held)})" if has_graph else _COUNT
    holding = "".join(f", {held[n]} AS holding_{n}" for n in range(terms))
    rarity = "".join(f", {_RARITY.format(n=n)}" for n in range(terms))
    read = "FROM mine" if counted else ""
    return _RARITIES.format(rarity=rarity, everything=everything, holding=holding, read=read)


def _score(terms: int) -> str:
    found = ", ".join(f"weight_{n}" for n in range(terms))
    score = " + ".join(_SHARE.format(n=n) for n in range(terms))
    return f"CASE WHEN coalesce({found}) IS NOT NULL THEN {score} END"


_NEIGHBOURS = """
SELECT number, memory_id
FROM (VALUES {queries}) AS asked (number, vector) CROSS JOIN LATERAL (
    SELECT memory_id, embedding <=> asked.vector AS distance FROM {table}
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND state = 'active'
    ORDER BY distance, memory_id LIMIT :limit
) AS nearest
WHERE distance <= :farthest
ORDER BY number, distance, memory_id
"""


_NEIGHBOURS_BY_GRAPH = """
SELECT {n} AS number, memory_id, distance FROM (
    SELECT memory_id, tenant_id, user_id, embedding <=> CAST(:vector_{n} AS vector) AS distance
    FROM {table} WHERE owner_number = {number} AND state = 'active'
    ORDER BY CAST(embedding AS halfvec({size}))
        <=> CAST(CAST(:vector_{n} AS vector) AS halfvec({size}))
    LIMIT :limit
) AS walked_{n}
WHERE tenant_id = :tenant_id AND user_id = :user_id
"""

_NEIGHBOURS_BY_GRAPHS = (
    "SELECT number, memory_id FROM ({parts}) AS found WHERE distance <= :farthest"
    " ORDER BY number, distance, memory_id"
)


@lru_cache
def make_neighbours(vectors: int, graph: int | None = None) -> str:
    """What is nearest to each of so many vectors, parameters ``vector_0`` and so on."""
    if graph is not None:
        parts = [
            _NEIGHBOURS_BY_GRAPH.format(n=n, number=graph, table="{table}", size="{size}")
            for n in range(vectors)
        ]
        return _NEIGHBOURS_BY_GRAPHS.format(parts=" UNION ALL ".join(parts))
    queries = ", ".join(f"({n}, CAST(:vector_{n} AS vector))" for n in range(vectors))
    return _NEIGHBOURS.format(table="{table}", queries=queries)
