"""What recall had put into an agent's prompts is no evidence of what its user says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.stages.injection.fence import strip_fenced

if TYPE_CHECKING:
    from pipelines.model import Transcript


def without_recalled(transcript: Transcript) -> Transcript:
    """The transcript without the blocks of recall; itself if there are none."""
    told = [strip_fenced(message.content) for message in transcript.messages]
    pairs = list(zip(transcript.messages, told, strict=True))
    if all(text == message.content for message, text in pairs):
        return transcript
    return replace(
        transcript, messages=tuple(replace(message, content=text) for message, text in pairs)
    )
