"""Forty made-up secrets of twenty formats, put together here so that no scanner takes fright.

None of them opens anything. Each has a part that occurs nowhere by chance: that part is looked
for, in plain and in the encodings in which a store, a queue or a request may hold it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_LETTERS = "bcdfghjkmnpqrstvwxzBCDFGHJKMNPQRSTVWXZ"


def _random(seed: int, length: int, alphabet: str = _LETTERS + "23456789") -> str:
    """Letters and digits that look random and are the same in each run."""
    state, signs = seed * 7919 + 104729, []
    for _ in range(length):
        state = (state * 1103515245 + 12345) % 2**31
        signs.append(alphabet[(state >> 12) % len(alphabet)])
    return "".join(signs)


def _hex(seed: int, length: int) -> str:
    return _random(seed, length, "0123456789abcdef")


def _card(prefix: str, seed: int, length: int = 16) -> str:
    digits = prefix + _random(seed, length - len(prefix) - 1, "0123456789")
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    check = -(doubled + sum(int(digit) for digit in digits[-2::-2])) % 10
    return f"{digits}{check}"


def _groups(number: str, sign: str) -> str:
    return sign.join(number[start : start + 4] for start in range(0, len(number), 4))


@dataclass(frozen=True, slots=True)
class Planted:
    """A secret in a sentence or a snippet.

    Attributes:
        needle: The part of it that must be found nowhere.
    """

    form: str
    text: str
    needle: str


def _pem(kind: str, body: str) -> str:
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"


def _forms() -> Iterator[tuple[str, str, str]]:
    """Form, text with a mark for the secret, secret."""
    yield "aws", "aws_secret_access_key = §", _random(1, 39) + "7"
    yield "aws", "the pair is AKIA" + "Q3EGUZ7XK2M5PLRT / § for prod", _random(2, 38) + "/9"
    yield "azure", "AccountName=x;AccountKey=§;EndpointSuffix=y", _random(3, 86) + "=="
    yield "azure", "https://x.blob.example/c?sv=2022-11-02&sp=rl&sig=§%3D", _random(4, 43)
    account = {"type": "service_account", "private_key": _pem("PRIVATE " + "KEY", "§")}
    yield "gcp", json.dumps(account, ensure_ascii=False), _random(5, 64)
    yield "gcp", "my Maps key is §", "AIza" + _random(6, 35)
    yield "github", "clone with § please", "ghp_" + _random(7, 36)
    yield "github", "remote https://§@git.example/r.git", "github_" + "pat_" + _random(8, 60)
    yield "gitlab", "PRIVATE-TOKEN: §", "glpat-" + _random(9, 20)
    yield "gitlab", "the runner registers with §", "glrt-" + _random(10, 24)
    yield "slack", "slack bot: §", "xoxb-" + _random(11, 12, "0123456789") + "-" + _random(12, 24)
    hook = "https://hooks.slack" + ".com/services/§"
    yield "slack", hook, "T" + _random(13, 9) + "/B" + _random(14, 9) + "/" + _random(15, 24)
    yield "stripe", "charge with § in live mode", "sk_" + "live_" + _random(16, 28)
    yield "stripe", '{"webhook": "§"}', "whsec_" + _random(17, 32)
    yield "mailing", "Twilio auth token: §", _hex(18, 32)
    yield "mailing", "sendgrid § works", "SG." + _random(19, 22) + "." + _random(20, 43)
    yield "models", "OPENAI_KEY is §", "sk-" + "proj-" + _random(21, 44) + "4"
    yield "models", "claude takes §", "sk-" + "ant-api03-" + _random(22, 60)
    yield "packages", "pip publishes with §", "pypi-" + "AgEIcHlwaS5vcmc" + _random(23, 90)
    yield "packages", "//registry.example/:_authToken=§", "npm_" + _random(24, 36)
    jwt = "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + _random(25, 30) + "." + _random(26, 43)
    yield "bearer", "session § expired", jwt
    yield "bearer", "curl -H 'Authorization: Bearer §' https://x.example", _random(27, 40)
    basic = base64.b64encode(f"bob:{_random(28, 18)}".encode()).decode()
    yield "basic", "Authorization: Basic §", basic.rstrip("=")
    yield "basic", "curl -u bob:§ https://x.example", _random(29, 14)
    yield "pem", _pem("OPENSSH PRIVATE " + "KEY", "§" + _random(30, 190)), _random(31, 64)
    yield "pem", _pem("PGP PRIVATE " + "KEY BLOCK", "\n§" + _random(32, 190)), _random(33, 63)
    yield "url", "DATABASE_URL=postgresql+psycopg://app:§@db:5432/app", _random(34, 14)
    yield "url", "mongodb+srv://root:§@cluster.example.net/x", _random(35, 14)
    yield "odbc", "Driver=x;Server=h;UID=sa;PWD={§};", _random(36, 14)
    yield "odbc", "jdbc:sqlserver://h;user=sa;password=§;", _random(37, 14)
    yield "card", "my card is §, exp 12/29", _groups(_card("4111", 38), " ")
    yield "card", "charge § once", _groups(_card("5412", 39), "-")
    yield "phrase", "by the way, my password is §.", _random(40, 11)
    yield "phrase", "the passphrase for prod is §", _random(41, 16)
    yield "wifi", "WIFI:T:WPA;S:guest;P:§;;", _random(42, 13)
    yield "wifi", "the wifi password: §", _random(43, 13)
    yield (
        "code",
        "otpauth://totp/x:bob?secret=§&issuer=x",
        _random(44, 32, "ABCDEFGHJKLMNPQR234567"),
    )
    yield "code", "the PIN is §", _random(45, 12, "123456789")
    words = "zebra ankle quilt oxbow jumbo fjord glyph kiosk mango nymph perch vapor"
    yield "seed", "my seed phrase is §", words
    yield "seed", "recovery phrase: §", " ".join(reversed(words.split()))


PLANTED: tuple[Planted, ...] = tuple(
    Planted(form, text.replace("§", needle), needle) for form, text, needle in _forms()
)


def spellings(needle: str) -> frozenset[bytes]:
    """How a secret can stand in bytes: plain, escaped, hexadecimal, in base 64 at any offset."""
    plain = needle.encode()
    padded = (base64.b64encode(b"\x00" * shift + plain) for shift in range(3))
    return frozenset(
        {
            plain,
            json.dumps(needle)[1:-1].encode(),
            quote(needle, safe="").encode(),
            plain.hex().encode(),
            # What stands before and behind changes up to four signs at each end.
            *(text[4:-4] for text in padded),
        }
    )


NEEDLES = frozenset(item.needle for item in PLANTED)


def found_in(haystack: Iterable[bytes], needles: Collection[str] = NEEDLES) -> set[str]:
    """The needles that stand anywhere in the bytes."""
    wanted = {needle: spellings(needle) for needle in needles}
    return {
        needle
        for chunk in haystack
        for needle, texts in wanted.items()
        if any(text in chunk for text in texts)
    }
