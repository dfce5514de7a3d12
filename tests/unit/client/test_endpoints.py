"""Whom a client calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from memstill_client.endpoints import Endpoints, find_endpoints
from memstill_client.errors import NotConfigured
from memstill_client.queues import _options_of

if TYPE_CHECKING:
    from pathlib import Path


def find(environ: dict[str, str], **given: str) -> Endpoints:
    """The endpoints that these arguments and this environment give."""
    return find_endpoints(
        api_url=given.get("api_url"),
        redis_url=given.get("redis_url"),
        tenant_id=given.get("tenant_id"),
        key_prefix=given.get("key_prefix"),
        api_key=given.get("api_key"),
        environ=environ,
    )


def test_endpoints_are_the_environment_s_when_nothing_is_given() -> None:
    """Every address and name can come from the environment."""
    found = find(
        {
            "MEMSTILL_API_URL": "https://memory.example",
            "MEMSTILL_REDIS_URL": "rediss://queue.example/1",
            "MEMSTILL_TENANT": "acme",
            "MEMSTILL_KEY_PREFIX": "blue",
            "MEMSTILL_API_KEY": "k",
        }
    )
    assert found == Endpoints(
        api_url="https://memory.example",
        redis_url="rediss://queue.example/1",
        tenant_id="acme",
        is_tenant_given=True,
        key_prefix="blue",
        api_key="k",
    )


def test_endpoints_are_the_arguments_when_the_environment_differs() -> None:
    """What is given wins; an empty string switches an address of the environment off."""
    environ = {"MEMSTILL_API_URL": "http://a", "MEMSTILL_REDIS_URL": "redis://a"}
    found = find(environ, api_url="http://b", redis_url="")
    assert (found.api_url, found.redis_url) == ("http://b", None)


def test_tenant_is_the_default_when_pushes_go_over_the_stream() -> None:
    """Over HTTP the API key names the tenant; over the Stream somebody must."""
    over_http = find({}, api_url="http://a")
    over_stream = find({}, api_url="http://a", redis_url="redis://a")
    assert (over_http.tenant_id, over_stream.tenant_id) == (None, "default")
    assert not over_stream.is_tenant_given


def test_endpoints_are_the_running_stack_s_when_no_address_is_known(tmp_path: Path) -> None:
    """On a laptop nothing needs to be set."""
    write_stack(tmp_path, schema_version=1, api_url="http://localhost:1", redis_url="unix:///r")
    found = find({"MEMSTILL_DATA": str(tmp_path)})
    assert (found.api_url, found.redis_url) == ("http://localhost:1", "unix:///r")


def test_running_stack_is_not_mixed_in_when_one_address_is_given(tmp_path: Path) -> None:
    """Half of one installation and half of another would lose what is pushed."""
    write_stack(tmp_path, schema_version=1, api_url="http://localhost:1", redis_url="unix:///r")
    found = find({"MEMSTILL_DATA": str(tmp_path)}, api_url="http://b")
    assert (found.api_url, found.redis_url) == ("http://b", None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "MEMSTILL_API_URL"),
        ("{", "memstill up"),
        ("[]", "another release"),
        ('{"schema_version": 2}', "another release"),
    ],
)
def test_endpoints_are_refused_with_a_remedy_when_none_can_be_found(
    tmp_path: Path, content: str | None, said: str
) -> None:
    """The error says what to set or to start, and where it looked."""
    if content is not None:
        (tmp_path / "endpoints.json").write_text(content)
    with pytest.raises(NotConfigured, match=said) as caught:
        find({"MEMSTILL_DATA": str(tmp_path)})
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "url"), [("api_url", "localhost:8377"), ("redis_url", "localhost:6379")]
)
def test_endpoints_are_refused_when_an_address_has_no_scheme(name: str, url: str) -> None:
    """A wrong address is named before anything is sent, and not repeated with its password."""
    with pytest.raises(NotConfigured, match=f"{name} must begin with") as caught:
        find({}, **{name: url})
    assert url not in str(caught.value)


def write_stack(folder: Path, **content: object) -> None:
    """Leave the file of a running stack."""
    (folder / "endpoints.json").write_text(json.dumps(content))


def test_limit_of_the_stream_comes_from_the_environment() -> None:
    """Unless the client is told; a hundred thousand where nobody says."""
    url = {"MEMSTILL_REDIS_URL": "redis://x"}

    assert 100_000 == find(url).max_waiting
    assert 7 == find(url | {"MEMSTILL_MAX_WAITING": "7"}).max_waiting


@pytest.mark.parametrize("stated", ["0", "-1", "many", "1e3"])
def test_limit_that_is_no_number_is_refused(stated: str) -> None:
    """With the name of the setting."""
    with pytest.raises(NotConfigured, match="MEMSTILL_MAX_WAITING"):
        find({"MEMSTILL_REDIS_URL": "redis://x", "MEMSTILL_MAX_WAITING": stated})


def test_rabbitmq_takes_the_place_of_the_stream_and_names_the_tenant() -> None:
    """Whoever pushes over a queue has to say whose it is, with no key that does."""
    found = find_endpoints(
        api_url=None,
        redis_url=None,
        tenant_id=None,
        key_prefix=None,
        api_key=None,
        environ={"MEMSTILL_BROKER_URL": "amqp://rabbit/memstill"},
    )
    assert ("amqp://rabbit/memstill", "default") == (found.broker_url, found.tenant_id)

    with pytest.raises(NotConfigured, match="broker_url must begin with amqp://, amqps://"):
        find_endpoints(
            api_url=None,
            redis_url=None,
            tenant_id=None,
            key_prefix=None,
            api_key=None,
            broker_url="redis://host",
            environ={},
        )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://rabbit", ("rabbit:5672", "guest", "guest", "/")),
        ("amqp://a%40b:p%2Fw@rabbit:5673/x%2Fy", ("rabbit:5673", "a@b", "p/w", "x/y")),
        ("amqps://u:p@rabbit//", ("rabbit:5671", "u", "p", "/")),
    ],
)
def test_address_of_rabbitmq_is_read_part_by_part(url: str, expected: tuple[str, ...]) -> None:
    """With what is encoded in it, and the usual ports."""
    parts = _options_of(url)

    assert expected == tuple(parts[key] for key in ("host", "userid", "password", "virtual_host"))
    assert url.startswith("amqps") == bool(parts["ssl"])
