"""Whom a client calls: arguments, then the environment, then the stack on this machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memstill_client.errors import NotConfigured
from memstill_client.wire import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Mapping

API_SCHEMES = ("http://", "https://")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
BROKER_SCHEMES = ("amqp://", "amqps://")
ENDPOINTS_FILE = "endpoints.json"
MAX_WAITING = 100_000


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where memstill is reached, and as whom.

    Attributes:
        tenant_id: None leaves it to the API key. Over a Stream somebody must name the tenant,
            so it is never None beside a ``redis_url`` or a ``broker_url``.
        is_tenant_given: The tenant was named, not assumed.
        max_waiting: Nothing is pushed over the Stream while so many transcripts wait in it.
        broker_url: A RabbitMQ that takes the place of the Stream.
    """

    api_url: str | None
    redis_url: str | None
    tenant_id: str | None
    is_tenant_given: bool
    key_prefix: str
    api_key: str | None
    max_waiting: int = MAX_WAITING
    broker_url: str | None = None

    def need_api_url(self) -> str:
        """The HTTP address, which everything but a push over the Stream needs."""
        if self.api_url is None:
            raise NotConfigured("no HTTP address is known; set MEMSTILL_API_URL or pass api_url")
        return self.api_url


def find_endpoints(
    *,
    api_url: str | None,
    redis_url: str | None,
    tenant_id: str | None,
    key_prefix: str | None,
    api_key: str | None,
    max_waiting: int | None = None,
    broker_url: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Endpoints:
    """Choose the addresses; an empty string is the same as none.

    The running stack's file is read only where neither address is given, so that two
    installations are never mixed.

    Raises:
        NotConfigured: No address is known, or one is none; the message says what to set.
    """
    api_url = _given(api_url, environ, "MEMSTILL_API_URL")
    redis_url = _given(redis_url, environ, "MEMSTILL_REDIS_URL")
    broker_url = _given(broker_url, environ, "MEMSTILL_BROKER_URL")
    if api_url is None and redis_url is None and broker_url is None:
        api_url, redis_url = _running_stack(environ)
    tenant = _given(tenant_id, environ, "MEMSTILL_TENANT")
    return Endpoints(
        api_url=_check_url("api_url", api_url, API_SCHEMES),
        redis_url=_check_url("redis_url", redis_url, REDIS_SCHEMES),
        tenant_id=tenant or (DEFAULT_TENANT if redis_url or broker_url else None),
        is_tenant_given=tenant is not None,
        key_prefix=_given(key_prefix, environ, "MEMSTILL_KEY_PREFIX") or "memstill",
        api_key=_given(api_key, environ, "MEMSTILL_API_KEY"),
        max_waiting=_read_limit(max_waiting, environ),
        broker_url=_check_url("broker_url", broker_url, BROKER_SCHEMES),
    )


def _given(argument: str | None, environ: Mapping[str, str], name: str) -> str | None:
    return (environ.get(name) if argument is None else argument) or None


def _read_limit(argument: int | None, environ: Mapping[str, str]) -> int:
    stated = environ.get("MEMSTILL_MAX_WAITING") if argument is None else argument
    try:
        limit = int(stated or MAX_WAITING) if argument is None else argument
    except ValueError:
        limit = 0
    if limit < 1:
        raise NotConfigured(
            f"max_waiting (MEMSTILL_MAX_WAITING) is {stated!r}, not a number above 0"
        )
    return limit


def _check_url(name: str, url: str | None, schemes: tuple[str, ...]) -> str | None:
    if url is not None and not url.startswith(schemes):
        raise NotConfigured(f"{name} must begin with {', '.join(schemes)}")
    return url


def _running_stack(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    path = _data_folder(environ) / ENDPOINTS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotConfigured(
            "no memstill is known: set MEMSTILL_API_URL (and MEMSTILL_REDIS_URL to push over "
            "the Stream), pass api_url, or start one on this machine with `memstill up` "
            f"({path} is missing)"
        ) from None
    except (OSError, ValueError) as error:
        raise NotConfigured(
            f"{path} cannot be read: {error}; start it anew with `memstill up`"
        ) from error
    return _read_stack(path, found)


def _data_folder(environ: Mapping[str, str]) -> Path:
    folder = environ.get("MEMSTILL_DATA")
    return Path(folder).expanduser() if folder else Path.home() / ".memstill"


def _read_stack(path: Path, found: Any) -> tuple[str | None, str | None]:  # noqa: ANN401 - any JSON
    if not isinstance(found, dict) or found.get("schema_version") != 1:
        raise NotConfigured(
            f"{path} was written by another release; start it anew with `memstill up`"
        )
    return found.get("api_url"), found.get("redis_url")
