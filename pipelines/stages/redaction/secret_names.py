"""What secrets are called, and what their values look like."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from pipelines.stages.redaction.secret_shapes import find_all, lower
from pipelines.stages.wordlist import any_of, word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Link(IntEnum):
    """How firmly a name is tied to what follows it."""

    WEAK = 0  # stands beside it
    SOFT = 1  # "is"
    HARD = 2  # a sign of assignment


class Rule(NamedTuple):
    """What a name makes of the value beside it.

    Attributes:
        kind: What the placeholder says.
        is_secret: Whether a value beside the name is one, given the link between them.
        is_quoted: The same for a value in quotes, or in a field of its own, where it is not the
            same rule.
    """

    kind: str
    is_secret: Callable[[str, Link], bool]
    is_quoted: Callable[[str, Link], bool] | None = None


# ---- what a value looks like ---------------------------------------------------------------------

TRAILING = ".,;:!?)]}\"'*`\\\u201d\u2019\u3002"
NO_SECRETS = word_set(
    """
    a an the my your his her its our their this that it in on at for to of by with from and or
    if as what where which who how when why not no none null nil true false undefined empty
    blank missing required optional needed mandatory must should shall can cannot can't may will
    would has have had do does don't is isn't was are be been being same different similar wrong
    incorrect invalid correct right valid good bad fine ok okay weak strong strongest safe
    secure insecure unique short long longer too very so always never ever also still now just
    only already often again soon expired expiring reset changed changing rotated rotating
    updated stored saved kept written set hashed encrypted salted masked hidden visible shared
    sent used reused unused known unknown lost forgotten leaked compromised stolen revoked
    disabled enabled protected managed generated created case-sensitive case autofilled working
    accepted rejected denied available here there below above something anything nothing
    everything someone string str text bytes int bool password passwords redacted secret
    plaintext field input one two three at-least minimum maximum between like about falsch
    richtig abgelaufen vergessen incorrecta incorrecto yes sure done hard easy important stupid
    simple complex complicated obvious public private out up down gone off flag option argument
    n/a tbd todo changeme self user username pw pwd passwd token key
    """
)
# Says where the secret is instead of what it is: a variable, a call, stars.
REFERENCE = re.compile(
    r"\$(?:[{(\d]|[A-Z_][A-Z0-9_]{1,60}(?![a-z])|(?:password|passwd|pass|pw|pwd|token|key|secret)\b)"
    r"|\{[\w{%. ]|%(?:s\b|\(|\w{1,40}%)|<|\*{3,}|\u2022|\u2026|\.{3}|[xX]{4,}(?!\w)"
    r"|\[(?:redacted:|[a-z-]{3,12}(?:-\d{1,6})?\])|(?i:os\.|env(?:[.\[(:]|\Z)|environ|process\."
    r"|self\.|(?:config|settings|vault)[.\[(:]|getenv|getpass)"
    r"|\(?[A-Za-z_]{1,40}(?:\.[A-Za-z_]{1,40}){0,4}(?:\((?:[\"')A-Za-z_]|\Z)|\[)"
)
_SYMBOL = re.compile(r"[!@#$%^&*+=?~]")
_STATE = re.compile(r"[a-z]{2,20}(?:ly|ing|ed|able|ible)")
_RANDOM = re.compile(
    r"(?=\D{0,400}\d\D{0,400}\d|(?=\D{0,400}\d)(?=[^A-Z]{0,400}[A-Z])[^a-z]{0,400}[a-z])"
    r"[A-Za-z0-9+/=_.~-]{16,400}"
)
_DIGITS = re.compile(r"[A-Za-z]?\d{3,12}[#*]?")
_GROUPED = re.compile(
    r"(?:[A-Za-z]-?)?\d{2,6}(?:[ -]?\d{2,6}){0,3}|(?=\D{0,9}\d)[a-z0-9]{4,5}-[a-z0-9]{4,5}"
)
_HUMP = re.compile(r"[a-z][A-Z]")
# A name with parts, an argument, a call.
_CODE = re.compile(
    r"\A[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]{2,60}){1,8}\b(?![\w-])|\A\w{1,60}=\w{1,60}\)?\Z|[()\[\]]"
)
_CARD_CODE = re.compile(r"\d{3,4}")
_SEED_WORDS = 12
_MIN_WEAK, _MIN_KEY, _SURE_KEY, _MIN_PASSWORD = 6, 8, 20, 3


def _is_password(value: str, link: Link) -> bool:
    if link is Link.WEAK:
        return is_mixed(value)
    is_state = link is Link.SOFT and _STATE.fullmatch(value)
    return len(value) >= _MIN_PASSWORD and not is_state


def is_mixed(value: str, _: Link = Link.WEAK) -> bool:
    """Whether a value is long and odd enough to be a password where nothing ties it to a name."""
    has_digit = any(map(str.isdigit, value))
    return (
        len(value) >= _MIN_WEAK
        and "://" not in value
        and (has_digit or bool(_SYMBOL.search(value[:-1])))
    )


def _is_assigned(value: str, link: Link) -> bool:
    return link is Link.HARD and is_mixed(value)


def _is_phrase(value: str, link: Link) -> bool:
    words = [word.strip(TRAILING).casefold() for word in value.split()]
    if len(words) >= _SEED_WORDS:
        return True
    return link is not Link.WEAK and not NO_SECRETS.intersection(words[1:3] or words)


def _is_long_phrase(value: str, _: Link) -> bool:
    return len(value.split()) >= _SEED_WORDS


def _is_key(value: str, _: Link) -> bool:
    if "://" in value or _CODE.search(value):
        return False
    has_digit = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    is_scrambled = len(_HUMP.findall(value)) >= _MIN_WEAK // 2
    return len(value) >= _MIN_KEY and (has_digit or is_scrambled or len(value) >= _SURE_KEY)


def _is_quoted_key(value: str, link: Link) -> bool:
    return _is_key(value, link) or (len(value) >= _MIN_KEY and " " not in value)


def _is_otp_key(value: str, link: Link) -> bool:
    return _is_key(value, link) or (len(value) >= 2 * _MIN_KEY and value.isupper())


def _is_random(value: str, _: Link) -> bool:
    """Too irregular for a word, a path, a version or a date."""
    letters = sum(map(str.isalpha, value))
    is_path = value.count("/") > 1 and "." in value
    return bool(_RANDOM.fullmatch(value)) and letters >= _MIN_WEAK - 2 and not is_path


def _is_anything(value: str, _: Link) -> bool:
    return bool(value.strip())


def _matches(pattern: re.Pattern[str]) -> Callable[[str, Link], bool]:
    return lambda value, _: value.isascii() and pattern.fullmatch(value) is not None


# ---- names ---------------------------------------------------------------------------------------

_RULES: tuple[tuple[Rule, str], ...] = (
    (
        Rule("passphrase", _is_phrase, _is_anything),
        """
        pass[ -]?phrase
        (?:secret )?(?:seed|recovery|backup|secret) phrase
        mnemonic
        """,
    ),
    (
        Rule("passphrase", _is_long_phrase),
        """
        (?:seed|recovery|backup) words
        wallet seed
        (?:12|24|twelve|twenty-four) words
        """,
    ),
    (
        Rule("pin", _matches(_DIGITS)),
        """
        pin(?:[ -]?(?:code|number))?
        puk
        (?:door|gate|alarm|unlock|lock|entry|access|garage|keypad|voicemail)[ -]?code
        (?:lock|safe|vault)[ -]?(?:code|combination)
        """,
    ),
    (
        Rule("one-time-code", _matches(_GROUPED)),
        """
        (?:verification|security|one[- ]time|2fa|mfa|otp|authentication|login|sms)[ -]codes?
        (?:backup|recovery)[ -]codes?
        one[- ]time (?:password|pin)
        otp
        """,
    ),
    (Rule("card-code", _matches(_CARD_CODE)), "cvv2?\ncvc2?\ncard (?:security|verification) code"),
    (
        Rule("password", _is_password, _is_anything),
        """
        passwords?
        passwds?
        passcodes?
        passwort
        pwd
        pw
        pgpassword
        kennwort
        contrase[nñ]a
        mot de passe
        senha
        wachtwoord
        has[lł]o
        lösenord
        adgangskode
        salasana
        şifre
        [пП]ароль
        密[码碼]
        パスワード
        비밀번호
        _pass
        _passphrase
        """,
    ),
    (
        Rule("password", is_mixed),
        """
        clave
        (?:user(?:name)?|login)[ ][^ ]{1,16}[ ](?:and|with)[ ]pass
        pa\\$\\$word
        p@ssword
        (?:wi-?fi|wlan|wpa[23]?|network)[ -]?(?:key|code)
        psk
        """,
    ),
    (Rule("password", _is_assigned), "pass"),
    (
        Rule("otp-secret", _is_otp_key),
        """
        (?:totp|2fa|mfa|otp|authenticator)[ _-]?(?:secret|key|seed)
        setup key
        """,
    ),
    (
        Rule("api-key", _is_key, _is_quoted_key),
        """
        api[ _-]?(?:key|token|secret)s?
        access[ _-]?(?:key|token|secret)s?
        secret[ _-]?(?:access[ _-]?)?(?:key|token)s?
        auth[ _-]?(?:key|token|secret)s?
        client[ _-]?(?:key|secret)s?
        private[ _-]?(?:key|token)s?
        (?:account|storage|license|licence|product|activation)[ _-]?key
        (?:signing|app|consumer|webhook|shared|session|jwt)[ _-]?(?:key|secret)
        (?:encryption|master)[ _-]?key
        (?:bot|refresh|session|id|vault)[ _-]?token
        _secret
        """,
    ),
    (
        Rule("api-key", _is_key),
        """
        _key
        _token
        _auth
        [?&](?:key|token|sig|signature|secret)(?==)
        """,
    ),
    (
        Rule("api-key", _is_random),
        """
        tokens?
        secrets?
        keys?
        credentials?
        auth
        sess(?:ion)?[ _-]?id
        [a-z]{0,10}sessid
        """,
    ),
)
_NAME = re.compile(rf"(?:{'|'.join(any_of(names) for _, names in _RULES)})(?![a-z])")
# One of these is in every name: only around them is looked for one.
STEMS: Final = tuple(
    word_set(
        """
        pass pw phrase mnemonic words seed pin puk code combination otp cvv cvc kennwort contrase
        senha wachtwoord has lösenord adgangskode salasana şifre ароль 密 パスワード 비밀번호 clave
        pa$$ p@ss key psk secret token auth sig credential sess
        """
    )
)
_LONGEST_NAME = 40
_NOT_SECRET_KEYS = re.compile(
    r"(?:public|primary|foreign|cache|partition|sort|idempotency|object|row|hash|shard|routing"
    r"|issue|ticket|recv|jira|registry|message|host|ssh|s3)[ _-]?\Z"
)
# Without what has to follow a name: the name is judged by itself here.
_PATTERNS = tuple(
    (rule, re.compile(any_of(names).replace("(?==)", "") + r"\Z")) for rule, names in _RULES
)


@lru_cache(maxsize=1_000)
def _rule_of(name: str) -> Rule:
    return next(rule for rule, pattern in _PATTERNS if pattern.match(name))


def rule_at(text: str, name: re.Match[str]) -> Rule | None:
    """What a value beside this name would be; None where the name is part of another word."""
    word, start = name.group(), name.start()
    if text.endswith("[redacted:", 0, start) or _is_inside_word(text, start, word):
        return None
    rule = _rule_of(word)
    is_plain = rule.is_secret is _is_random or word == "_key"
    if is_plain and _NOT_SECRET_KEYS.search(text[max(0, start - 12) : start].lower()):
        return None
    return rule


def _is_inside_word(text: str, start: int, word: str) -> bool:
    before = text[max(0, start - 1) : start]
    if not (word[0].isascii() and word[0].isalpha() and before.isalpha()):
        return False
    is_hump = text[start].isupper() and before.islower()
    is_escape = before in "nrt" and text.endswith("\\", 0, start - 1)
    return not (is_hump or is_escape or word.startswith("passw"))


def names_in(text: str) -> list[re.Match[str]]:
    """Every name of a secret in a short text."""
    return list(_NAME.finditer(lower(text)))


def find_names(lowered: str, stems: tuple[str, ...]) -> Iterator[re.Match[str]]:
    """Every name of a secret, in order; ``rule_at`` says which of them are words of their own.

    Args:
        lowered: The text in small letters.
        stems: Those of ``STEMS`` that can stand in it.
    """
    start = end = 0
    for place in find_all(lowered, stems):
        if place - _LONGEST_NAME > end:
            yield from _NAME.finditer(lowered, start, end)
            start = place - _LONGEST_NAME
        end = place + _LONGEST_NAME
    yield from _NAME.finditer(lowered, start, end)
