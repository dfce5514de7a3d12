"""What a running session keeps in Redis: how long, how much."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """Lifetimes and bounds of the session tier.

    Attributes:
        context: The conversation of a session; each use extends it.
        tool_state: What a tool keeps; each use extends it.
        episode: Each episode from when it was added; use does not extend it, else old ones would
            never make room for what is recent.
        state: What a session is resumed from; each use extends it. The longest lifetime of all.
        once: So long a write that is repeated under its name is done only once.
        max_messages: Of one context; the oldest go first.
        max_message_bytes: Of one message or episode, in UTF-8.
        max_messages_at_once: Of one append.
        max_episodes: Of one user; the oldest go first.
        max_tools_at_once: Tool states that one read may ask for.
        max_tool_state_bytes: As JSON in UTF-8.
        max_state_bytes: As JSON in UTF-8.
        max_rate: Highest limit of a rate counter, which remembers each use.
        max_rate_window: Longest window of a rate counter.
        erase_slack: What began so little after an erasure is refused with what began before it:
            clocks differ a bit.
        connect_seconds: Redis is on the road of a running agent: it is not waited for longer.
        answer_seconds: The same for its answer.
    """

    context: timedelta = timedelta(hours=2)
    tool_state: timedelta = timedelta(minutes=30)
    episode: timedelta = timedelta(hours=24)
    state: timedelta = timedelta(hours=72)
    once: timedelta = timedelta(minutes=10)
    max_messages: int = 200
    max_message_bytes: int = 64 * 1024
    max_messages_at_once: int = 100
    max_episodes: int = 100
    max_tools_at_once: int = 50
    max_tool_state_bytes: int = 256 * 1024
    max_state_bytes: int = 1024 * 1024
    max_rate: int = 1_000
    max_rate_window: timedelta = timedelta(hours=24)
    erase_slack: timedelta = timedelta(seconds=2)
    connect_seconds: float = 1.0
    answer_seconds: float = 2.0

    @property
    def longest(self) -> timedelta:
        """Nothing outlives this without being used."""
        return max(self.context, self.tool_state, self.episode, self.state, self.max_rate_window)
