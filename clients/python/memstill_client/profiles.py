"""What an application knows of a user by its own means."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from memstill_client.calls import Call
from memstill_client.endpoints import Endpoints
from memstill_client.replies import Reply
from memstill_client.transports import AsyncTransport, Transport


class Profile(Reply):
    """What an application knows of a user.

    Attributes:
        preferences: What the user wants.
        learned: What was found out about them.
        version: 0 where there is none yet; one more at each change, whoever makes it.
    """

    user_id: str
    preferences: dict[str, Any]
    learned: dict[str, Any]
    version: int
    updated_at: datetime | None = None


class Profiles:
    """What an application knows of a user by its own means."""

    _endpoints: Endpoints
    _http: Transport

    def profile(self, user_id: str) -> Profile:
        """The user's profile; an empty one of version 0 where there is none."""
        return self._http.ask(_show_call(user_id, self._endpoints))

    def patch_profile(
        self,
        user_id: str,
        *,
        preferences: Mapping[str, Any] | None = None,
        learned: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Profile:
        """Change it by JSON merge patches: None as a value takes a key away.

        Args:
            user_id: Whose profile.
            preferences: What the user wants.
            learned: What was found out about them.
            version: The one that was read; repeating the call without it is harmless.

        Raises:
            Refused: It has another version by now, or would be too large.
        """
        asked = {"preferences": preferences, "learned": learned, "version": version}
        return self._http.ask(_patch_call(user_id, asked, self._endpoints))


class AsyncProfiles:
    """See ``Profiles``."""

    _endpoints: Endpoints
    _http: AsyncTransport

    async def profile(self, user_id: str) -> Profile:
        """See ``Memstill.profile``."""
        return await self._http.ask(_show_call(user_id, self._endpoints))

    async def patch_profile(
        self,
        user_id: str,
        *,
        preferences: Mapping[str, Any] | None = None,
        learned: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Profile:
        """See ``Memstill.patch_profile``."""
        asked = {"preferences": preferences, "learned": learned, "version": version}
        return await self._http.ask(_patch_call(user_id, asked, self._endpoints))


def _show_call(user_id: str, endpoints: Endpoints) -> Call[Profile]:
    return Call("GET", _path(user_id), Profile, tenant_id=endpoints.tenant_id)


def _patch_call(user_id: str, asked: dict[str, Any], endpoints: Endpoints) -> Call[Profile]:
    given = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in asked.items()
        if value is not None
    }
    content = json.dumps(given).encode()
    return Call("PATCH", _path(user_id), Profile, content, tenant_id=endpoints.tenant_id)


def _path(user_id: str) -> str:
    return f"/v1/profiles/{quote(user_id, safe='')}"
