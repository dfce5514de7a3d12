"""Routes about profiles: what an application knows of a user by its own means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from memstill_client.json_values import NotPlain, plain_json, plain_text
from memstill_client.wire import MAX_ID_CHARS
from pipelines.errors import InputError
from pipelines.model import Owner
from pipelines.stages.profile import Section
from pipelines.stages.redaction.clean import clean_fields, find_secret_id
from workers.callers import Reader, Writer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pipelines.ports import Profile
    from workers.container import Container

UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARS)]


class ProfilePatch(BaseModel):
    """What ``PATCH /v1/profiles/{user_id}`` takes: a JSON merge patch for each part."""

    model_config = ConfigDict(extra="forbid")

    preferences: dict[str, Any] = Field(
        default_factory=dict, description="What the user wants; null takes a key away."
    )
    learned: dict[str, Any] = Field(
        default_factory=dict, description="What was found out about them; null takes a key away."
    )
    version: StrictInt | None = Field(
        default=None, ge=0, description="The one that was read; it is refused if it has moved on."
    )


def add_profile_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    store = container.profiles

    @api.get("/v1/profiles/{user_id:path}")
    def show(user_id: UserId, caller: Reader) -> dict[str, Any]:
        return profile_view(store.find_profile(_owner(user_id, caller)))

    @api.patch("/v1/profiles/{user_id:path}")
    def patch(user_id: UserId, body: ProfilePatch, caller: Writer) -> dict[str, Any]:
        began_at, owner = container.clock.now(), _owner(user_id, caller)
        if find_secret_id(user_id=user_id):
            raise InputError("user_id", "holds a key or a password; send an id that opens nothing")
        policy = container.policies.personal_data
        change = {
            section: clean_fields(_plain(section, body), owner.tenant_id, policy)
            for section in Section
        }
        found = store.patch_profile(owner, change, body.version, began_at)
        container.ingest.waker.wake_index()
        return profile_view(found)


def profile_view(profile: Profile) -> dict[str, Any]:
    """A profile."""
    return {
        "user_id": profile.owner.user_id,
        **{section.value: dict(profile.sections[section]) for section in Section},
        "version": profile.version,
        "updated_at": profile.updated_at,
    }


def _owner(user_id: str, caller: Reader) -> Owner:
    caller.narrow(user_id)
    try:
        return Owner(caller.tenant_id, plain_text(user_id))
    except NotPlain as error:
        raise InputError("user_id", str(error)) from None


def _plain(section: Section, body: ProfilePatch) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = plain_json(getattr(body, section.value))
    except NotPlain as error:
        raise InputError(section.value, str(error)) from None
    return plain
