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


@dataclass(frozen=True, slots=True)
class WorkingPolicy:
    """What an agent holds in mind during a session, and when it is put more briefly.

    Attributes:
        lifetime: From its last use.
        max_items: More are folded into the summary.
        keep: So many of the newest stay word for word.
        budget_tokens: What summary and items may come to together.
        full: At this share of the budget the older items are summarised.
        summary_share: Of the budget; the summary, which the next one takes up, is never longer.
        model_seconds: The agent waits for a summary, so the model is not waited for longer; what
            fails is tried again with the next append.
        tries: So often a fold is planned anew because somebody else has folded meanwhile.
    """

    lifetime: timedelta = timedelta(hours=2)
    max_items: int = 20
    keep: int = 5
    budget_tokens: int = 8_000
    full: float = 0.8
    summary_share: float = 0.25
    model_seconds: float = 8.0
    tries: int = 5

    @property
    def full_tokens(self) -> float:
        """From so many tokens on it is summarised."""
        return self.full * self.budget_tokens

    @property
    def summary_tokens(self) -> int:
        """Most that a summary may have."""
        return int(self.summary_share * self.budget_tokens)

    @property
    def item_tokens(self) -> int:
        """Most that one item may have: those that stay then always fit beside a summary."""
        return (self.budget_tokens - self.summary_tokens) // self.keep
