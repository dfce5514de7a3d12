"""Takes secrets out of a text before anything else sees it.

Every pattern runs in linear time: repetitions are bounded, possessive, or stopped by the very
character that starts the next attempt. ``redact`` is idempotent: a placeholder matches nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from pipelines.stages.named_secrets import redact_named


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets.

    Attributes:
        counts: How many secrets of each kind were taken out.
    """

    text: str
    counts: dict[str, int] = field(default_factory=dict)


def redact(text: str) -> Redacted:
    """Replace each secret with ``[redacted:<kind>]``."""
    counts: Counter[str] = Counter()
    for _ in range(_MAX_PASSES):
        before = text
        text = _redact_once(text, counts)
        if text == before:
            break
    return Redacted(text, dict(counts))


# A value that was taken out can leave a new context behind ("password: password: x"), so passes
# repeat until nothing changes; hostile nesting ends here.
_MAX_PASSES = 8


def _redact_once(text: str, counts: Counter[str]) -> str:
    for kind, hints, pattern in _TOKENS:
        if any(hint in text for hint in hints):
            text, found = pattern.subn(rf"\g<1>[redacted:{kind}]", text)
            counts.update({kind: found} if found else {})
    text = redact_named(text, counts)
    return _redact_cards(text, counts)


# ---- tokens that are known by their shape: (kind, one of these must occur, pattern) --------------

_START = r"(?<![A-Za-z0-9_-])()"
_PEM = (
    r"()-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:"
    r"(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{1,60}-----"
    r"|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)*+)"
)
_SLACK = (
    r"(?<![A-Za-z0-9_-])(hooks\.slack\.com/(?:services|workflows)/|)"
    r"(?:(?<=/)[A-Za-z0-9/]{20,}+|xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{16,}+)"
)
_BEARER = (
    r"(\b(?i:bearer\s{1,5})|(?i:authorization[\"']?\s{0,5}:\s{0,5}[\"']?basic\s{1,5}))"
    r"(?=[A-Za-z._~+/=-]*+[0-9]|[A-Za-z._~+/=-]{24})[A-Za-z0-9._~+/=-]{12,}+"
)
_TOKENS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (kind, hints, re.compile(pattern))
    for kind, hints, pattern in (
        ("private-key", ("PRIVATE KEY",), _PEM),
        ("aws-key", ("AKIA", "ASIA", "AROA", "AIDA", "AGPA", "ANPA", "ABIA", "ACCA"),
         _START + r"(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
         _START + r"(?:gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+)"),
        ("gitlab-token", ("gl",),
         _START + r"gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat|oas|ffct)-[A-Za-z0-9_-]{16,}+"),
        ("slack-token", ("xox", "xapp-", "hooks.slack.com"),
         _SLACK),
        ("stripe-key", ("k_live_", "k_test_", "whsec_"),
         _START + r"(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9+/=]{10,}+"),
        ("google-key", ("AIza", "ya29.", "GOCSPX-"),
         _START + r"(?:AIza[A-Za-z0-9_-]{30,}+|(?:ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,}+)"),
        ("anthropic-key", ("sk-ant-",), _START + r"sk-ant-[A-Za-z0-9_-]{12,}+"),
        ("openai-key", ("sk-",), _START + r"sk-(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{20,}+"),
        ("jwt", ("eyJ",),
         _START + r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"),
        ("api-key", ("hf_", "npm_", "pypi-", "SG.", "dop_v1_", "shpat_", ":AA", "glsa_"),
         _START + r"(?:(?:hf_|npm_|glsa_|dop_v1_|shpat_)[A-Za-z0-9_]{30,}+|pypi-[A-Za-z0-9_-]{50,}+"
         r"|SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+|\d{8,10}:AA[A-Za-z0-9_-]{30,}+)"),
        ("bearer-token", ("earer", "EARER", "asic ", "ASIC "),
         _BEARER),
        ("url-password", ("://",),
         r"(://[^\s:/@\"'<>]{0,256}:)(?!\[redacted:)[^\s/\"'<>]{1,256}(?=@)"),
    )
)  # fmt: skip

# ---- card numbers -------------------------------------------------------------------------------

_BEFORE = r"(?<![\w+])(?<!\w-)(?<!\d\.)"
_AFTER = r"(?![\w])(?!-\w)(?!\.\d)"
_GAP = r"[ \u00a0-]"
_CARD_LAYOUT = re.compile(
    rf"{_BEFORE}(?:\d{{4}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}|\d{{4}}(?:{_GAP}\d{{4}}){{3}}(?:{_GAP}\d{{3}})?"
    rf"|\d{{13,19}}){_AFTER}"
)
_CARD_RUN = re.compile(rf"{_BEFORE}(?<!\d{_GAP})\d(?:{_GAP}?\d){{12,18}}(?!{_GAP}?\d){_AFTER}")
_CARD_NUMBER = "[redacted:card-number]"
_MASTERCARD_2 = range(2221, 2721)


def _redact_cards(text: str, counts: Counter[str]) -> str:
    def replace(match: re.Match[str]) -> str:
        found = match.group()
        for number in (found, found[:_FOUR_GROUPS]):
            if _is_card(number):
                counts["card-number"] += 1
                return _CARD_NUMBER + found[len(number) :]
        return found

    return _CARD_RUN.sub(replace, _CARD_LAYOUT.sub(replace, text))


_FOUR_GROUPS = len("0000 0000 0000 0000")


def _is_card(number: str) -> bool:
    """Whether an issuer gives out such numbers and the check digit (Luhn) is right."""
    digits = "".join(filter(str.isdigit, number))
    return len(digits) in _issued_lengths(digits) and _luhn(digits) == 0


def _issued_lengths(digits: str) -> range | tuple[int, ...]:
    if digits[0] == "4":
        return (13, 16, 19)
    if digits[0] == "3":
        return range(14, 20)
    if digits[0] == "5" or (digits[0] == "2" and int(digits[:4]) in _MASTERCARD_2):
        return (16,)
    return range(16, 20) if digits[0] == "6" else ()


def _luhn(digits: str) -> int:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10
