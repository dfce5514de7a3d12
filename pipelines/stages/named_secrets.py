"""Secrets that only the words before them give away: "my password is hunter2"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections import Counter

PLACEHOLDER = re.compile(r"\[redacted:([a-z-]{1,40})\]")

# Matched against lower-cased text and without groups, so that the scan skips from one possible
# first letter to the next.
_NAME = re.compile(
    r"(?:passwords?|passwds?|passcodes?|pass[ -]?phrase|passwort|pwd|pw|pgpassword|kennwort"
    r"|contrase[nñ]a|mot de passe|senha|wachtwoord|seed phrase|recovery phrase|mnemonic"
    r"|pin(?:[ -]?(?:code|number))?"
    r"|api[ _-]?(?:key|token|secret)s?|access[ _-]?(?:key|token|secret)s?"
    r"|secret[ _-]?(?:access[ _-]?)?(?:key|token)s?|auth[ _-]?(?:key|token|secret)s?"
    r"|client[ _-]?(?:key|secret)s?|private[ _-]?(?:key|token)s?|account[ _-]?key|bot[ _-]?token"
    r"|signing[ _-]?(?:key|secret)|encryption[ _-]?key|refresh[ _-]?token|session[ _-]?token"
    r"|_key|_token|_secret"
    r"|\?(?:key|token|sig|signature|secret)(?==)|&(?:key|token|sig|signature|secret)(?==))(?![a-z])"
)
_UPPER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_VERB = r"(?:is|was|are|equals|ist|lautet|es|est|é)"
_WHOSE = r"(?:\s{1,3}(?:for|of|to|on)(?:\s{1,3}(?!(?:is|was|are|to)\s)[^\s:=]{1,30}){1,5}?)?"
_HARD = re.compile(
    rf"""["'\u201d\u2019\]]{{0,2}}(?:\s?\([^()\n]{{1,40}}\))?{_WHOSE}(?:\s{{1,3}}{_VERB})?
    \s{{0,5}}(?P<sign>:=|=>|->|==?|:)\s{{0,5}}""",
    re.IGNORECASE | re.VERBOSE,
)
_SOFT = re.compile(
    rf"{_WHOSE}\s{{1,5}}{_VERB}"
    r"(?:\s{1,3}(?:now|still|just|actually|currently|set to)){0,2}\s{1,5}",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\s{1,5}(?:(?:(?:has |was )?(?:changed |set |updated |reset )?to|will be|became)\s{1,5})?",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|'([^'\n]{1,200})'|`([^`\n]{1,200})`|\u201c([^\u201d\n]{1,200})\u201d"
)
_UNQUOTED = re.compile(r"[^\s\"'<>]\S{0,400}")
_ASSIGNED = re.compile(r"[^\s\"'<>;&][^\s\"'<>;&]{0,400}")
_PHRASE = re.compile(r"[^\s.;\n][^.;\n]{0,200}")
_TRAILING = ".,;:!?)]}\"'\u201d\u2019"

_NO_SECRETS = word_set(
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
    richtig abgelaufen vergessen incorrecta incorrecto
    """
)
_REFERENCE = re.compile(
    r"(?:\$|\{|%|<|\*{2,}|•|x{4,}|…|\.{3}|os\.|env\b|environ|process\.|self\.|config|settings\."
    r"|getenv|getpass|vault|[\w.]{1,60}\()",
    re.IGNORECASE,
)
_SYMBOL = re.compile(r"[!@#$%^&*+=?~]")
_SEED_WORDS = 12
_MIN_WEAK, _MIN_KEY, _SURE_KEY, _MIN_PASSWORD = 6, 8, 20, 3


def redact_named(text: str, counts: Counter[str]) -> str:
    """Replace values that a name introduces; count them by kind."""
    kept: list[str] = []
    position = 0
    for name in _NAME.finditer(text.translate(_UPPER)):
        kind = _kind(text, name) if name.start() >= position else None
        span = _value_span(text, name.end(), kind) if kind else None
        if span is not None:
            kept += [text[position : span[0]], f"[redacted:{kind}]"]
            position = span[1]
            counts[str(kind)] += 1
    return "".join(kept) + text[position:]


def _kind(text: str, name: re.Match[str]) -> str | None:
    """What a value after this name would be; None where the name is part of another word."""
    word, start = name.group(), name.start()
    is_inner = word[0].isalpha() and text[max(0, start - 1) : start].isalpha()
    if text.endswith("[redacted:", 0, start) or (is_inner and not word.startswith("passw")):
        return None
    if word.startswith("pin"):
        return "pin"
    if word.endswith("phrase") or word == "mnemonic":
        return "passphrase"
    return "password" if word.startswith(_PASSWORD_WORDS) else "api-key"


_PASSWORD_WORDS = ("pass", "pw", "pgp", "kennwort", "contrase", "mot", "senha", "wacht")


def _value_span(text: str, start: int, kind: str) -> tuple[int, int] | None:
    for link, is_weak in ((_HARD, False), (_SOFT, False), (_WEAK, True)):
        found = link.match(text, start)
        if found is not None:
            sign = found.groupdict().get("sign")
            return _secret_at(text, found.end(), kind, sign, is_weak=is_weak)
    return None


def _secret_at(
    text: str, start: int, kind: str, sign: str | None, *, is_weak: bool
) -> tuple[int, int] | None:
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        inner = quoted.span(quoted.lastindex or 0)
        is_secret = not PLACEHOLDER.match(quoted[0][1:]) and not is_weak
        return inner if is_secret and not _REFERENCE.match(text, inner[0]) else None
    pattern = _PHRASE if kind == "passphrase" else _ASSIGNED if sign == "=" else _UNQUOTED
    found = pattern.match(text, start)
    value = found[0].rstrip(_TRAILING) if found else ""
    if not value or value.startswith("[redacted:") or not _is_secret(value, kind, is_weak=is_weak):
        return None
    return start, start + len(value)


def _is_secret(value: str, kind: str, *, is_weak: bool) -> bool:
    words = [word.strip(_TRAILING).casefold() for word in value.split()]
    if kind == "passphrase":
        return len(words) >= _SEED_WORDS or not _NO_SECRETS.intersection(words[1:3] or words)
    if words[0] in _NO_SECRETS or _REFERENCE.match(value):
        return False
    if kind == "pin":
        return value.isascii() and value.isdigit() and _MIN_PASSWORD <= len(value) <= 2 * _MIN_WEAK
    if kind == "api-key":
        return _looks_like_key(value)
    if is_weak:
        return kind == "password" and len(value) >= _MIN_WEAK and _is_mixed(value)
    return len(value) >= _MIN_PASSWORD


def _is_mixed(value: str) -> bool:
    has_digit = any(map(str.isdigit, value))
    return "://" not in value and (has_digit or bool(_SYMBOL.search(value[:-1])))


def _looks_like_key(value: str) -> bool:
    has_digit = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    is_camel = any(map(str.isupper, value[1:])) and any(map(str.islower, value))
    return len(value) >= _MIN_KEY and (has_digit or is_camel or len(value) >= _SURE_KEY)
