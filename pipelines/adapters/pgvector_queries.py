"""How PostgreSQL is asked for candidates, every query for one owner's rows."""

from __future__ import annotations

# Words are weighed row by row, not joined: before the first ANALYZE of a fresh table a join is
# planned for one row, and took ten times as long.
SEARCH = """
WITH query AS MATERIALIZED (
    SELECT CAST(:vector AS vector) AS vector
), mine AS MATERIALIZED (
    SELECT memory_id, terms, weights, 1 - (embedding <=> query.vector) AS cosine,
           (scope <> 'session' OR session_id = CAST(:session_id AS text)) AND CASE
               WHEN CAST(:as_of AS double precision) IS NULL THEN state = 'active'
               ELSE valid_from <= :as_of AND :as_of < valid_to
           END AS is_visible
    FROM {table} CROSS JOIN query
    WHERE tenant_id = :tenant_id AND user_id = :user_id
), rarity AS MATERIALIZED (
    SELECT term, ln(
        1 + CAST(2 * (everything - holding) + 1 AS double precision) / (2 * holding + 1)
    ) AS idf
    FROM unnest(CAST(:terms AS bigint[])) AS asked (term)
    CROSS JOIN (SELECT count(*) AS everything FROM mine) AS total
    CROSS JOIN LATERAL (
        SELECT count(*) AS holding FROM mine WHERE asked.term = ANY (terms)
    ) AS part
), scored AS (
    SELECT memory_id, cosine, (
        SELECT sum(idf * weights[array_position(terms, term)]) FROM rarity
    ) AS score
    FROM mine WHERE is_visible
), ranked AS (
    SELECT memory_id, cosine, score,
           row_number() OVER (ORDER BY cosine DESC, memory_id) AS by_cosine,
           row_number() OVER (ORDER BY score DESC NULLS LAST, memory_id) AS by_score
    FROM scored
)
SELECT memory_id, cosine, score FROM ranked
WHERE by_cosine <= :limit OR (score IS NOT NULL AND by_score <= :limit)
"""
NEIGHBOURS = """
WITH queries AS MATERIALIZED (
    SELECT number, CAST(item AS vector) AS vector
    FROM unnest(CAST(:vectors AS text[])) WITH ORDINALITY AS asked (item, number)
)
SELECT number, memory_id
FROM queries CROSS JOIN LATERAL (
    SELECT memory_id, embedding <=> queries.vector AS distance FROM {table}
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND state = 'active'
    ORDER BY distance, memory_id LIMIT :limit
) AS nearest
ORDER BY number, distance, memory_id
"""
