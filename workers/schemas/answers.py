"""What every answer is, and what an error says."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Counts = dict[str, int]
# A binary fraction is no amount.
Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["0.0042"])]


class Answer(BaseModel):
    """What an answer holds, and nothing else."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Problem(Answer):
    """What is wrong, where, and what to send instead."""

    type: str = Field(examples=["invalid_request"])
    field: str | None = Field(examples=["messages[0].role"])
    reason: str = Field(examples=["is required; it must be one of user, assistant, system, tool"])


class Error(Answer):
    """Every answer that is no success."""

    error: Problem
