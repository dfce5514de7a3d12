"""A pushed transcript, or an unreadable payload, without its secrets and personal data.

Three rounds over all its texts: secrets; the same secrets where they stand without any context;
personal data, as the tenant's policy says. Everything that is stored of a push comes from here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from config.policy import Handling
from pipelines.stages.redaction.clues import ALL, find_clues
from pipelines.stages.redaction.named_secrets import rule_asked_for
from pipelines.stages.redaction.personal import StandIns
from pipelines.stages.redaction.redact import redact, redact_field, redact_id, redact_repeated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.policy import PersonalDataPolicy
    from pipelines.model import Message, Transcript
    from pipelines.stages.redaction.clues import Clues
    from pipelines.stages.redaction.redact import Redacted
    from pipelines.stages.redaction.secret_names import Rule


def clean_transcript(transcript: Transcript, policy: PersonalDataPolicy) -> Transcript:
    """The transcript as it may be stored, with the counts of what was taken out.

    Its owner and session are left alone: they are names that must stay what they are
    (``find_secret_id`` says which of them may not enter).
    """
    secrets = _Secrets(find_clues([*_texts(transcript), *_names(transcript)]))
    cleaned = _rewrite(transcript, secrets)
    if secrets.taken:
        cleaned = _rewrite(cleaned, _Repeats(secrets))
    personal = _stand_ins(policy, transcript.owner.tenant_id, _texts(cleaned))
    if personal.has_any:
        cleaned = _rewrite(cleaned, _Personal(personal))
    return replace(cleaned, redactions=dict(secrets.counts + personal.counts))


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said, and who."""

    content: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CleanPayload:
    """What may be stored of something unreadable."""

    payload: str
    reason: str


def clean_payload(
    payload: str, reason: str, tenant_id: str, policy: PersonalDataPolicy
) -> CleanPayload:
    """The same for what is no transcript; what holds nothing of the kind stays as it was."""
    secrets = _Secrets()
    repeats = _Repeats(secrets)
    cleaned = _rewrite_payload(payload, secrets)
    texts = [_rewrite_payload(text, repeats) for text in (cleaned, secrets.text(reason))]
    personal = _Personal(_stand_ins(policy, tenant_id, texts))
    return CleanPayload(*(_rewrite_payload(text, personal) for text in texts))


def clean_said(
    said: Sequence[Said], tenant_id: str, policy: PersonalDataPolicy, after: str | None = None
) -> list[Said]:
    """What is said one after another outside a transcript, as it may be stored.

    What would be masked is dropped: a stand-in has its number from the whole that it stands in,
    and two wholes would mean different things by one.

    Args:
        said: In order.
        tenant_id: Whose policy holds.
        policy: What becomes of personal data.
        after: What was said before it, as it was stored: it may ask for what is said now.
    """
    secrets = _Secrets()
    if after is not None:
        secrets.said(after)
    cleaned = [_rewrite_said(item, secrets) for item in said]
    repeats = _Repeats(secrets)
    cleaned = [_rewrite_said(item, repeats) for item in cleaned]
    texts = [text for item in cleaned for text in (item.content, item.name or "")]
    personal = _Personal(_without_numbers(policy, tenant_id, texts))
    return [_rewrite_said(item, personal) for item in cleaned]


def asks_secret(text: str) -> bool:
    """Whether a message asks for a secret, which the next one may answer without a word more."""
    return rule_asked_for(text) is not None


def clean_fields(
    fields: dict[str, Any], tenant_id: str, policy: PersonalDataPolicy
) -> dict[str, Any]:
    """The same for fields of somebody's own, whose names say what they hold.

    They are kept beside what was cleaned before, so that a number would mean nothing here either.
    """
    secrets = _Secrets()
    cleaned = _rewrite_object(_rewrite_object(fields, secrets), _Repeats(secrets))
    personal = _without_numbers(policy, tenant_id, list(_strings(cleaned)))
    return _rewrite_object(cleaned, _Personal(personal))


def find_secret_id(**ids: str | None) -> str | None:
    """Which of the named ids holds a secret, if one does: it would be stored everywhere."""
    named = {name: text for name, text in ids.items() if text}
    clues = find_clues(named.values())
    return next((name for name, text in named.items() if redact_id(text, clues).counts), None)


# ---- what is done to each text -------------------------------------------------------------------


class _Rewriter(Protocol):
    def said(self, text: str) -> str: ...

    def text(self, text: str) -> str: ...

    def field(self, name: str, value: str) -> str: ...

    def name(self, text: str) -> str: ...


class _Secrets:
    """Takes secrets out, message by message: one can ask for what the next one answers.

    Args:
        clues: All that can give a secret away in what is said and in names.
    """

    def __init__(self, clues: Clues = ALL) -> None:
        self._clues = clues
        self.counts: Counter[str] = Counter()
        self.taken: dict[str, str] = {}
        self._asked_for: Rule | None = None

    def said(self, text: str) -> str:
        result = redact(text, self._asked_for, self._clues)
        self._asked_for = rule_asked_for(text)
        return self._count(result)

    def text(self, text: str) -> str:
        return self._count(redact(text))

    def field(self, name: str, value: str) -> str:
        return self._count(redact_field(name, value))

    def name(self, text: str) -> str:
        return self._count(redact_id(text, self._clues))

    def _count(self, result: Redacted) -> str:
        if result.counts:
            self.counts.update(result.counts)
            self.taken.update(islice(result.taken.items(), max(0, _MAX_TAKEN - len(self.taken))))
        return result.text


# Each is looked for in every text; nobody pastes more into one conversation.
_MAX_TAKEN = 200


class _Repeats:
    """Takes out what was found to be a secret elsewhere: "hunter2, noted"."""

    def __init__(self, secrets: _Secrets) -> None:
        self._secrets = secrets

    def said(self, text: str) -> str:
        return self.text(text)

    def text(self, text: str) -> str:
        result = redact_repeated(text, self._secrets.taken)
        self._secrets.counts.update(result.counts)
        return result.text

    def field(self, name: str, value: str) -> str:  # noqa: ARG002 - one of the rewriters
        return self.text(value)

    def name(self, text: str) -> str:
        return self.text(text)


class _Personal:
    """Puts stand-ins in the place of personal data; names of things stay as they are."""

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins

    def said(self, text: str) -> str:
        return self._stand_ins.replace(text)

    def text(self, text: str) -> str:
        return self._stand_ins.replace(text)

    def field(self, name: str, value: str) -> str:
        return self._stand_ins.replace_field(name, value)

    def name(self, text: str) -> str:
        return text


def _stand_ins(policy: PersonalDataPolicy, tenant_id: str, texts: list[str]) -> StandIns:
    return StandIns(policy.handlings_of(tenant_id), policy.phone_regions, texts)


def _without_numbers(policy: PersonalDataPolicy, tenant_id: str, texts: list[str]) -> StandIns:
    """What would be masked is dropped."""
    handlings = {
        kind: Handling.DROP if handling is Handling.MASK else handling
        for kind, handling in policy.handlings_of(tenant_id).items()
    }
    return StandIns(handlings, policy.phone_regions, texts)


# ---- where the texts of a transcript are ---------------------------------------------------------


def _rewrite(transcript: Transcript, rewriter: _Rewriter) -> Transcript:
    messages = tuple(_rewrite_message(message, rewriter) for message in transcript.messages)
    agent_id = transcript.agent_id and rewriter.name(transcript.agent_id)
    return replace(
        transcript,
        messages=messages,
        agent_id=agent_id,
        idempotency_key=rewriter.name(transcript.idempotency_key),
        metadata=_rewrite_value(transcript.metadata, rewriter),
    )


def _rewrite_message(message: Message, rewriter: _Rewriter) -> Message:
    message_id = rewriter.name(message.id)
    if message_id != message.id:
        # Ids stay apart, whatever they were.
        message_id = f"{message_id}#{message.index}"
    content = rewriter.said(message.content)
    name = message.name and rewriter.field("name", message.name)
    if (message_id, content, name) == (message.id, message.content, message.name):
        return message
    return replace(message, id=message_id, content=content, name=name)


def _rewrite_said(item: Said, rewriter: _Rewriter) -> Said:
    return Said(rewriter.said(item.content), item.name and rewriter.field("name", item.name))


def _texts(transcript: Transcript) -> list[str]:
    said = ((message.content, message.name or "") for message in transcript.messages)
    return [*chain.from_iterable(said), *_strings(transcript.metadata)]


def _names(transcript: Transcript) -> list[str]:
    ids = [message.id for message in transcript.messages]
    return [*ids, transcript.agent_id or "", transcript.idempotency_key]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


# ---- JSON values, and what was meant as JSON -----------------------------------------------------


def _rewrite_value(value: Any, rewriter: _Rewriter, name: str = "") -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return _rewrite_object(value, rewriter)
    if isinstance(value, list):
        return [_rewrite_value(item, rewriter, name) for item in value]
    if value is None or isinstance(value, bool):
        return value
    # A number can be a secret too: a PIN, a card number.
    written = str(value)
    rewritten = rewriter.field(name, written) if name else rewriter.text(written)
    return value if rewritten == written else rewritten


def _rewrite_object(value: dict[str, Any], rewriter: _Rewriter) -> dict[str, Any]:
    rewritten: dict[str, Any] = {}
    for place, (key, item) in enumerate(value.items()):
        new_key = rewriter.text(key)
        while new_key in rewritten:
            # Fields stay apart, whatever they were called.
            new_key += f"#{place}"
        rewritten[new_key] = _rewrite_value(item, rewriter, _name_of(key, value))
    return rewritten


def _name_of(key: str, around: dict[str, Any]) -> str:
    """What a field is called; of ``{"name": "DB_PASSWORD", "value": "…"}`` what it says itself."""
    said = around.get("name", around.get("key")) if key == "value" else None
    return said if isinstance(said, str) else key


# What the wire format calls the fields that ``_rewrite`` treats as names, and as what is said.
_NAMES = frozenset({"id", "tenant_id", "user_id", "agent_id", "session_id", "idempotency_key"})
_SAID = "content"
_FREE_FORM = frozenset({"metadata", "tool_call"})


def _rewrite_wire(value: Any, rewriter: _Rewriter) -> Any:  # noqa: ANN401 - JSON
    """What was meant to be a transcript."""
    if isinstance(value, list):
        return [_rewrite_wire(item, rewriter) for item in value]
    if not isinstance(value, dict):
        return _rewrite_value(value, rewriter)
    return {rewriter.text(key): _rewrite_field(key, item, rewriter) for key, item in value.items()}


def _rewrite_field(key: str, item: Any, rewriter: _Rewriter) -> Any:  # noqa: ANN401 - JSON
    if isinstance(item, str) and key in _NAMES:
        return rewriter.name(item)
    if isinstance(item, str) and key == _SAID:
        return rewriter.said(item)
    if isinstance(item, dict | list) and key not in _FREE_FORM:
        return _rewrite_wire(item, rewriter)
    return _rewrite_value(item, rewriter, key)


_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def _rewrite_payload(payload: str, rewriter: _Rewriter) -> str:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        # Broken JSON still holds strings in which signs are escaped.
        return rewriter.text(_STRING.sub(lambda found: _rewrite_string(found, rewriter), payload))
    try:
        rewritten = _rewrite_wire(value, rewriter)
    except RecursionError:
        return rewriter.text(payload)
    return payload if rewritten == value else _dump(rewritten)


def _rewrite_string(found: re.Match[str], rewriter: _Rewriter) -> str:
    if "\\" not in found[0]:
        # The text around it says more than the string alone.
        return found[0]
    try:
        text = json.loads(found[0])
    except ValueError:
        return found[0]
    rewritten = rewriter.text(text)
    return found[0] if rewritten == text else _dump(rewritten)


def _dump(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair can be stored only as it was pushed: escaped.
    return text if _is_storable(text) else json.dumps(value)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
