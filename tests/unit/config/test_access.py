"""When the API asks for keys."""

from __future__ import annotations

import pytest

from config.settings import Settings


@pytest.mark.parametrize(
    ("auth", "host", "needs_keys"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "127.0.0.53", False),
        ("auto", "::1", False),
        ("auto", "localhost", False),
        ("auto", "0.0.0.0", True),
        ("auto", "::", True),
        ("auto", "10.0.0.7", True),
        ("auto", "memory.example", True),
        ("auto", "", True),
        ("keys", "127.0.0.1", True),
        ("off", "0.0.0.0", False),
    ],
)
def test_api_asks_for_keys_unless_only_this_machine_reaches_it(
    auth: str, host: str, needs_keys: bool
) -> None:
    """What is not known to be the loopback counts as the world; a word of its own decides."""
    settings = Settings.model_validate({"auth": auth, "api_host": host})

    assert needs_keys is settings.needs_keys
