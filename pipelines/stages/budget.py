"""What of a ranking fits into the prompt, and how a memory reads there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.model import Memory
    from pipelines.stages.rank import Ranked

SMALLEST_LINE = "(2000-01-01)"
"""No line costs less: each ends with a date, and no date is shorter than this one."""


def render_line(memory: Memory) -> str:
    """One line of the prompt block: ``Ana moved to Porto. (2026-03-02)``.

    The date is the day (UTC) from which it holds, with the last day for one that ended:
    ``(2024-01-05 to 2026-03-02)``. Whatever the statement contains, the line has no break.
    """
    statement = " ".join(memory.statement.split())
    since = memory.valid_from.date().isoformat()
    until = f" to {memory.valid_to.date().isoformat()}" if memory.valid_to else ""
    return f"{statement} ({since}{until})"


def fit(
    ranked: Sequence[Ranked],
    counts: Iterable[int],
    max_memories: int,
    max_tokens: int,
    smallest: int = 0,
) -> list[Ranked]:
    """The best that fit, in their order.

    The budget is a hard cap: a memory that is too long for what is left is skipped and the
    next one tried, even if it is the very first, so the result may be empty.

    Args:
        ranked: Best first.
        counts: Tokens of each one's rendered line, in the same order; none is asked for once
            nothing more can fit.
        max_memories: Most that are returned.
        max_tokens: What the lines returned may cost together, their line breaks included in
            ``counts`` if they are to be counted.
        smallest: No count is less.
    """
    fitting: list[Ranked] = []
    left = max_tokens
    counted = zip(ranked, counts, strict=True)
    while len(fitting) < max_memories and left >= smallest and (pair := next(counted, None)):
        item, tokens = pair
        if tokens <= left:
            fitting.append(item)
            left -= tokens
    return fitting
