"""What a recall answers."""

from datetime import datetime
from uuid import UUID

from memstill_client.replies import Reply


class RecalledMemory(Reply):
    """One memory, with the message that it rests on.

    Attributes:
        score: Relevance to the query; comparable within one recall only.
        quote: Stands verbatim in the message of ``message_id``. Of a memory of global scope both
            are empty, as are speaker and session, and ``said_at`` is when it was approved: who
            said it is not told.
        users: How many users of the tenant say it.
    """

    id: UUID
    statement: str
    kind: str
    scope: str
    subject: str
    valid_from: datetime
    score: float
    quote: str
    speaker: str
    said_at: datetime
    session_id: str
    source_message_ids: tuple[str, ...]
    message_id: str = ""
    users: int = 1


class RecalledProcedure(Reply):
    """How something is done; ``success_rate`` is how likely it works the next time."""

    id: UUID
    name: str
    steps: tuple[str, ...]
    version: int
    success_rate: float


class RecalledEpisode(Reply):
    """What happened in a session."""

    session_id: str
    content: str
    created_at: datetime


class RecalledWorking(Reply):
    """A working memory; ``summary`` stands for what was folded away."""

    summary: str | None = None
    items: tuple[str, ...] = ()


class Recall(Reply):
    """What is known, best first.

    Attributes:
        block: The same as text for a prompt, fenced; empty when nothing is known.
        tokens: Size of the block as the server counts it.
        notes: What the server had to do without, each as a sentence.
        procedures: How something is done that the query is about.
        episodes: What happened lately, the newest first.
        working: What is held in mind in the running session.
    """

    block: str
    memories: tuple[RecalledMemory, ...]
    tokens: int
    notes: tuple[str, ...] = ()
    procedures: tuple[RecalledProcedure, ...] = ()
    episodes: tuple[RecalledEpisode, ...] = ()
    working: RecalledWorking = RecalledWorking()

    def appended_to(self, system_prompt: str) -> str:
        """The prompt with the block below it; unchanged when nothing is known."""
        if not self.block:
            return system_prompt
        return f"{system_prompt.rstrip()}\n\n{self.block}" if system_prompt else self.block
