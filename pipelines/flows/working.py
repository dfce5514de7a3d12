"""Working memory: kept word for word while there is room, and then put more briefly.

Nobody holds anything while a model is asked. What it answers takes the place of the items that
it was asked about only if they are still there, so that two agents at once lose nothing: what
was appended meanwhile stands behind them, and who comes second plans anew.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    BadReply,
    BudgetExceeded,
    DependencyUnavailable,
    InputError,
    ModelRefused,
)
from pipelines.ports import Summary, Working, WorkingItem
from pipelines.stages.extract import EXTRACTIVE, extract, keep_supported
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.redaction.clean import Said, clean_said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.sessions import WorkingPolicy
    from pipelines.flows.sessions import Sessions
    from pipelines.model import Owner
    from pipelines.ports import Summariser, TokenCounter, WorkingStore, Write

log = structlog.get_logger(__name__)

_FAILURES = (DependencyUnavailable, ModelRefused, BadReply, BudgetExceeded)


@dataclass(frozen=True, slots=True)
class WorkingMemory:
    """Holds what agents have in mind.

    Attributes:
        summariser: None where no model is set up: then sentences are chosen, not written.
    """

    store: WorkingStore
    sessions: Sessions
    tokens: TokenCounter
    summariser: Summariser | None
    policy: WorkingPolicy

    def append(
        self, owner: Owner, session_id: str, contents: Sequence[str], once: str | None = None
    ) -> Working:
        """Append items, and make room for them; gives what is held then.

        Where that takes a model, the caller waits for it. An item is stored before that, and
        stays as it is if the model fails; the next append tries again.

        Raises:
            InputError: An item is blank or too long.
            SessionsUnavailable: The tier is away.
            ErasedMeanwhile: The user or session was erased since; nothing was kept.
        """
        write = self.sessions.begin(owner, session_id, once)
        items = self._make(owner, contents, write)
        found = self.store.append_items(owner, session_id, items, write)
        return self._make_room(owner, session_id, found, write)

    def read(self, owner: Owner, session_id: str) -> Working:
        """What is held, within its bounds also while somebody is still being asked for a summary.

        Raises:
            SessionsUnavailable: The tier is away.
        """
        found = self.store.read_items(owner, session_id)
        return self._shortened(found) if self._is_over(found) else found

    # ---- items ----------------------------------------------------------------------------------

    def _make(self, owner: Owner, contents: Sequence[str], write: Write) -> list[WorkingItem]:
        most = self.policy.max_items
        if not 1 <= len(contents) <= most:
            raise InputError("items", f"has {len(contents)} items; send 1 to {most} at once")
        for place, content in enumerate(contents):
            self.sessions.check_text(f"items[{place}]", content)
        said = [Said(content) for content in contents]
        cleaned = clean_said(said, owner.tenant_id, self.sessions.personal_data)
        texts = [item.content for item in cleaned]
        counts = self.tokens.count(texts)
        self._check_tokens(counts)
        return [
            WorkingItem(uuid.uuid4().hex, text, tokens, write.began_at)
            for text, tokens in zip(texts, counts, strict=True)
        ]

    def _check_tokens(self, counts: Sequence[int]) -> None:
        most = self.policy.item_tokens
        for place, tokens in enumerate(counts):
            if tokens > most:
                raise InputError(
                    f"items[{place}]",
                    f"has {tokens:,} tokens; {most:,} are allowed: say it more briefly, or keep "
                    "it as the state of a tool",
                )

    # ---- room -----------------------------------------------------------------------------------

    def _make_room(self, owner: Owner, session_id: str, found: Working, write: Write) -> Working:
        for _ in range(self.policy.tries):
            seen = self._choose(found)
            if seen is None:
                return found
            summary = self._summarise(owner, seen, is_needed=self._is_over(found))
            if summary is None:
                return found
            if self.store.fold_items(owner, session_id, seen, summary, write):
                log.info(
                    "working_memory_folded", tenant_id=owner.tenant_id, by=summary.summarised_by
                )
                return Working(summary, found.items[len(seen.items) :])
            found = self.store.read_items(owner, session_id)
        return self._shortened(found) if self._is_over(found) else found

    def _choose(self, found: Working) -> Working | None:
        """What is to be folded: all but the newest items, once it is full."""
        is_full = found.tokens >= self.policy.full_tokens or self._is_over(found)
        if not is_full or len(found.items) <= self.policy.keep:
            return None
        return replace(found, items=found.items[: -self.policy.keep])

    def _is_over(self, found: Working) -> bool:
        is_long = found.tokens > self.policy.budget_tokens
        return is_long or len(found.items) > self.policy.max_items

    def _shortened(self, found: Working) -> Working:
        """As it would be without a model; nothing of it is stored."""
        seen = self._choose(found)
        if seen is None:
            return found
        summary = self._extract(seen, _texts(seen))
        return Working(summary, found.items[len(seen.items) :])

    # ---- summaries ------------------------------------------------------------------------------

    def _summarise(self, owner: Owner, seen: Working, *, is_needed: bool) -> Summary | None:
        """What says more briefly what was seen; None where the model failed and there is room."""
        texts = _texts(seen)
        if self.summariser is None:
            return self._extract(seen, texts)
        written = self._ask(self.summariser, owner, texts)
        if written:
            by = self.summariser.version
            return self._make_summary(seen, written, by)
        return self._extract(seen, texts) if is_needed else None

    def _ask(self, summariser: Summariser, owner: Owner, texts: Sequence[str]) -> str:
        """What the model says of it as far as it may; empty where it failed."""
        most = self.policy.summary_tokens
        try:
            said = summariser.summarise(owner, texts, most)
        except _FAILURES as error:
            log.warning("summary_failed", tenant_id=owner.tenant_id, error=type(error).__name__)
            return ""
        supported = keep_supported(said, texts)
        (cleaned,) = clean_said([Said(supported)], owner.tenant_id, self.sessions.personal_data)
        if self.tokens.count([cleaned.content])[0] <= most:
            return cleaned.content
        return extract([cleaned.content], most, self.tokens.count)

    def _extract(self, seen: Working, texts: Sequence[str]) -> Summary:
        text = extract(texts, self.policy.summary_tokens, self.tokens.count)
        return self._make_summary(seen, text, EXTRACTIVE)

    def _make_summary(self, seen: Working, text: str, by: str) -> Summary:
        earlier = 0 if seen.summary is None else seen.summary.folded
        return Summary(
            id=uuid.uuid4().hex,
            content=text,
            tokens=self.tokens.count([text])[0],
            folded=earlier + len(seen.items),
            summarised_by=by,
            created_at=self.sessions.clock.now(),
        )


def _texts(seen: Working) -> list[str]:
    """What is said in it; what recall had put into a prompt is not said by anybody here."""
    earlier = [] if seen.summary is None else [seen.summary.content]
    said = (strip_fenced(item.content) for item in seen.items)
    return [*earlier, *(text for text in said if text.strip())]
