"""Why a draft is not stored."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """Why a draft is not stored; ``sentence`` says it to a person."""

    EMPTY_STATEMENT = "empty_statement"
    NO_EVIDENCE = "no_evidence"
    UNKNOWN_MESSAGE = "unknown_message"
    INSTRUCTION = "instruction"
    QUOTE_NOT_FOUND = "quote_not_found"
    THIN_QUOTE = "thin_quote"
    RECALLED_TEXT = "recalled_text"
    POSED_TEXT = "posed_text"
    TOOL_TEXT = "tool_text"
    SYSTEM_TEXT = "system_text"
    ASSISTANT_TEXT = "assistant_text"
    SECRET = "secret"  # noqa: S105 - the name of a reason
    FOREIGN_SUBJECT = "foreign_subject"
    OTHER_SUBJECT = "other_subject"
    UNSUPPORTED_NUMBER = "unsupported_number"
    UNSUPPORTED_NAME = "unsupported_name"
    UNSUPPORTED_CONTENT = "unsupported_content"
    UNSUPPORTED_VALUE = "unsupported_value"
    CONTRADICTED = "contradicted"

    @property
    def sentence(self) -> str:
        """The reason as one sentence, without any content."""
        return _SENTENCES[self]


_SENTENCES = {
    RefusalReason.EMPTY_STATEMENT: "It states nothing.",
    RefusalReason.NO_EVIDENCE: "It cites no message, or quotes nothing of it.",
    RefusalReason.UNKNOWN_MESSAGE: "It cites a message that the transcript does not have.",
    RefusalReason.INSTRUCTION: "It gives the memory orders instead of telling it something.",
    RefusalReason.QUOTE_NOT_FOUND: "Its quote does not stand in the cited message.",
    RefusalReason.THIN_QUOTE: "Its quote says nothing by itself.",
    RefusalReason.RECALLED_TEXT: "Its quote is what recall had put into the prompt.",
    RefusalReason.POSED_TEXT: "Its quote stands in a line that poses as somebody else's message.",
    RefusalReason.TOOL_TEXT: "Only a tool said it.",
    RefusalReason.SYSTEM_TEXT: "Only the system prompt said it.",
    RefusalReason.ASSISTANT_TEXT: "Only the assistant said it, and it is no outcome or lesson.",
    RefusalReason.SECRET: "All it states is a secret or personal data that was taken out.",
    RefusalReason.FOREIGN_SUBJECT: "The cited messages do not mention whom it is about.",
    RefusalReason.OTHER_SUBJECT: "Its quote says it of somebody else.",
    RefusalReason.UNSUPPORTED_NUMBER: "It states a number that the cited messages do not.",
    RefusalReason.UNSUPPORTED_NAME: "It states a name that the cited messages do not.",
    RefusalReason.UNSUPPORTED_CONTENT: "It states something else than the cited messages.",
    RefusalReason.UNSUPPORTED_VALUE: "It sets a value that the cited messages do not state.",
    RefusalReason.CONTRADICTED: "It turns round what its quote says.",
}
