"""Redaction: secrets go, what only looks like one stays, and nothing takes for ever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.redact import redact

# Put together here, so that no scanner takes the tests for a leak.
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
SLACK = "xoxb-" + "123456789012-abcdefGHIJKL"
GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my password is hunter2", "my password is [redacted:password]"),
        ("my password is hunter2.", "my password is [redacted:password]."),
        ("pw: hunter2", "pw: [redacted:password]"),
        ("Password = hunter2", "Password = [redacted:password]"),
        ("the password was hunter2, sorry", "the password was [redacted:password], sorry"),
        ("I changed my password to hunter2!", "I changed my password to [redacted:password]!"),
        ("the wifi password: corn-flake", "the wifi password: [redacted:password]"),
        (
            "the password for the wifi is sunflower99",
            "the password for the wifi is [redacted:password]",
        ),
        ("DB_PASSWORD=abc;Server=x", "DB_PASSWORD=[redacted:password];Server=x"),
        ('{"password": "hun ter2"}', '{"password": "[redacted:password]"}'),
        ("Mein Passwort lautet geheim123", "Mein Passwort lautet [redacted:password]"),
        ("my pin is 1234", "my pin is [redacted:pin]"),
        (
            "passphrase: correct horse battery staple",
            "passphrase: [redacted:passphrase]",
        ),
        ("api key: abc123def456", "api key: [redacted:api-key]"),
        ("My API key is abc123def456", "My API key is [redacted:api-key]"),
        (
            "https://a.example/?token=abcd1234efgh&x=1",
            "https://a.example/?token=[redacted:api-key]&x=1",
        ),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted:aws-key]"),
        (f"use {GITHUB} please", "use [redacted:github-token] please"),
        ("glpat-abcdefghij1234567890", "[redacted:gitlab-token]"),
        (SLACK, "[redacted:slack-token]"),
        (STRIPE, "[redacted:stripe-key]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted:google-key]"),
        ("sk-proj-abcdefghijklmnop1234", "[redacted:openai-key]"),
        ("sk-ant-api03-abcdefghijkl", "[redacted:anthropic-key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.abcDEF123", "[redacted:jwt]"),
        ("Bearer abcdefghijkl1234567890", "Bearer [redacted:bearer-token]"),
        ("Authorization: Basic dXNlcjpwYXNz12", "Authorization: Basic [redacted:bearer-token]"),
        ("postgres://u:p@ss@host/db", "postgres://u:[redacted:url-password]@host/db"),
        ("4111 1111 1111 1111", "[redacted:card-number]"),
        ("4111-1111-1111-1111, exp 12/26", "[redacted:card-number], exp 12/26"),
        ("4111 1111 1111 1111 123", "[redacted:card-number] 123"),
        ("3782 822463 10005", "[redacted:card-number]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[redacted:card-number]"),
    ],
)
def test_redact_takes_a_secret_out(text: str, expected: str) -> None:
    """A secret is replaced by a placeholder that says its kind, and nothing else is."""
    assert expected == redact(text).text


@pytest.mark.parametrize(
    "text",
    [
        "password reset link",
        "I forgot my password",
        "The password is wrong",
        "password: must be at least 12 characters",
        "the password policy requires 12 characters",
        "passwords are hashed with bcrypt",
        "password = os.environ['DB_PASSWORD']",
        "the access key is rotated weekly",
        "pin it to the board",
        "max_tokens=4096",
        "primary_key=user_id",
        "order 4111111111111112",
        "order number 1234567890123456",
        "1683500000000 ms",
        "0.4111111111111111",
        "+49 170 1234567 8901",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-1234-1234-1234-123456789012",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "ISBN 9783161484100",
        "http://localhost:8080/foo@bar",
        "sk-learn-based-classification-pipeline",
        "the bearer of good news",
    ],
)
def test_redact_leaves_a_text_alone_when_it_only_looks_secret(text: str) -> None:
    """Talk about passwords, order numbers, hashes and identifiers stay as they are."""
    assert (text, {}) == (redact(text).text, redact(text).counts)


def test_redact_takes_a_private_key_out_with_its_body() -> None:
    """No line of a PEM block is left, whether it is closed or was cut off."""
    body = "MIIEabcdefghijklmnop/x+y=" * 3
    head, tail = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"

    closed = redact(f"key: {head}\n{body}\n{tail} thanks")
    cut_off = redact(f"{head}\n{body}\n{body}")

    assert "key: [redacted:private-key] thanks" == closed.text
    assert "[redacted:private-key]" == cut_off.text


def test_redact_counts_secrets_by_kind() -> None:
    """The counts say how many secrets of each kind a text held."""
    result = redact("pw: hunter2, pw: hunter3 and AKIAIOSFODNN7EXAMPLE")

    assert {"password": 2, "aws-key": 1} == result.counts


_PIECES = st.sampled_from(
    [
        "password",
        "is",
        ":",
        "=",
        " ",
        "\n",
        "hunter2",
        "api key",
        "4111 1111 1111 1111",
        "://u:p@h",
        "Bearer ",
        "eyJabcdefgh1.",
        "-----BEGIN PRIVATE KEY-----",
        "[redacted:password]",
        '"',
        "'",
        "pin",
        "1234",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-ant-abcdefghijklmn",
        "seed phrase",
        "x",
    ]
)


@given(st.lists(_PIECES, max_size=14).map("".join) | st.text(max_size=80))
def test_redact_changes_nothing_when_it_is_repeated(text: str) -> None:
    """A redacted text holds no secret any more."""
    once = redact(text).text

    again = redact(once)

    assert (once, {}) == (again.text, again.counts)


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "eyJaaaaaaaa.",
        "1 ",
        "1",
        "4111 ",
        "password ",
        "password for ",
        "password is ",
        "://a:",
        "sk-a-",
        "bearer ",
        "api key ",
        '"password": "',
        "password for a a a a ",
    ],
)
def test_redact_takes_linear_time_when_a_text_is_hostile(piece: str) -> None:
    """Ten times the text takes about ten times as long, never a hundred times."""
    small, large = (_seconds(piece * (size // len(piece))) for size in (20_000, 200_000))

    assert large < 40 * max(small, 0.005)


def _seconds(text: str) -> float:
    started = time.process_time()
    redact(text)
    return time.process_time() - started
