"""What is searched, how it is ordered and how much of it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class VerbatimPolicy:
    """Which sentences are kept as they were said, beside the facts that a model found.

    Facts alone reach three quarters of the evidence that later questions ask for; with what was
    said beside them, verbatim, nearly all of it.

    Attributes:
        importance: Of such a sentence; enough to reach the user's later sessions.
    """

    importance: float = 0.3


@dataclass(frozen=True, slots=True)
class PassagePolicy:
    """How much of a conversation the words of a memory are searched in, beside its statement.

    Chosen on long conversations, by the share of a question's evidence among the first ten:
    .82 with 400 characters before the cited message, .76 with the message alone, .74 with the
    statement alone; from 300 to 600 it hardly moves, and both halves of the conversations agree.
    A second vector of the cited message gained less than .01 beside that.

    Attributes:
        cited_chars: Of a longer message the part around the quote.
        before_chars: The last ones said before the cited message.
        before_messages: They come from so many messages at most.
        max_cited: Of a memory that was said often, the newest.
    """

    cited_chars: int = 600
    before_chars: int = 400
    before_messages: int = 6
    max_cited: int = 4


@dataclass(frozen=True, slots=True)
class RankPolicy:
    """How candidates of recall are ordered.

    Chosen on long conversations, by the share of a question's evidence among the first ten.
    Recency, corroboration and importance lost a little at every weight tried, as did spreading
    over sessions; reciprocal rank fusion with k = 60 was worse than lexical search alone.

    Attributes:
        dense_weight: Of the cosine.
        lexical_weight: Of the lexical score, divided by the query's best.
        strength_weight: Of the strength; so little only decides between near equals.
        half_life: In which an unused memory loses half of its strength.
        diversity: Share of the order that being unlike those above decides; .4 lost again.
        same_message_penalty: Taken off where a memory above rests on the same message.
        legs: Candidates taken from the dense and from the lexical search each.
        considered: So many candidates are read and ordered for each memory that is wanted, the
            most promising first.
        least_considered: At least so many.
        reranked: So many of the first are handed to a reranker, where there is one.
    """

    dense_weight: float = 0.75
    lexical_weight: float = 0.25
    strength_weight: float = 0.01
    half_life: timedelta = timedelta(days=30)
    diversity: float = 0.3
    same_message_penalty: float = 0.1
    legs: int = 60
    considered: int = 3
    least_considered: int = 60
    reranked: int = 50


class Tier(StrEnum):
    """What is recalled from. Memories are the user's and everyone's."""

    MEMORIES = "memories"
    PROCEDURES = "procedures"
    EPISODES = "episodes"
    WORKING = "working"


@dataclass(frozen=True, slots=True)
class RecallPolicy:
    """How much a recall returns unless told otherwise, and how its tiers share the budget.

    What a tier leaves over goes to the memories, and what they leave over to the other tiers.

    Attributes:
        working_share: Of the tokens, at most, while there are memories to be told.
        episodes_share: The same for episodes.
        procedures_share: The same for procedures.
        episodes: At most so many.
        procedures: At most so many.
        patience: Tiers beside the memories that take longer, from when these are there, are left
            out.
    """

    max_memories: int = 20
    max_tokens: int = 400
    working_share: float = 0.3
    episodes_share: float = 0.15
    procedures_share: float = 0.2
    episodes: int = 5
    procedures: int = 3
    patience: timedelta = timedelta(seconds=1)

    def shares(self) -> dict[Tier, float]:
        """Of each tier that has one."""
        return {
            Tier.WORKING: self.working_share,
            Tier.EPISODES: self.episodes_share,
            Tier.PROCEDURES: self.procedures_share,
        }
