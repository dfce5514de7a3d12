"""Secrets that their own form gives away: keys of known makers, URLs, commands, key files.

Every pattern runs in linear time: it is tried only where its first letters stand, and its
repetitions are bounded, possessive, or stopped by the very letters that start the next attempt.
No placeholder matches any of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Shape(NamedTuple):
    """One form that a secret takes.

    Attributes:
        kind: What the placeholder says.
        starts: The letters, in lower case, with which the pattern can start.
        pattern: What its first group matches stays, the rest is the secret.
        lead: How many characters before ``starts`` the pattern starts.
    """

    kind: str
    starts: tuple[str, ...]
    pattern: re.Pattern[str]
    lead: int = 0

    def find(self, text: str, lowered: str) -> Iterator[re.Match[str]]:
        """All matches, in their order and apart."""
        position = 0
        for start in find_all(lowered, self.starts):
            if start - self.lead >= position:
                found = self.pattern.match(text, start - self.lead)
                if found is not None:
                    position = found.end()
                    yield found


def lower(text: str) -> str:
    """The text with small letters; each character stays at its place."""
    lowered = text.lower()
    # Exactly one letter becomes two, a capital I with a dot.
    return lowered if len(lowered) == len(text) else text.replace("\u0130", "i").lower()


class Start(NamedTuple):
    """One of the letters with which a shape can start, and the shape's place among all."""

    letters: str
    place: int


def find_all(text: str, literals: tuple[str, ...]) -> list[int]:
    """Where any of the literals starts, in order."""
    places: list[int] = []
    for literal in literals:
        place = text.find(literal)
        while place >= 0:
            places.append(place)
            place = text.find(literal, place + 1)
    return sorted(places)


# A word begins: also after an escape that stands for a sign ("\n", "%3D", "\u003d").
_START = (
    r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u00[0-9A-Fa-f]{2}))()"
)  # fmt: skip
_END = r"(?![A-Za-z0-9_-])"
# Letters and digits within one word: no word of a language.
_MIXED = r"(?=\S{0,80}?\d)(?=\S{0,80}?[A-Za-z])(?!\[redacted:)"
_VALUE = r"(?![\[${%])[^\s\"'<>|;]{1,200}"

# ---- keys that start with their maker's name: (prefixes, what follows) ---------------------------

_MAKERS: tuple[tuple[str, str], ...] = (
    ("hf_ npm_ ntn_ secret_ gsk_ pplx- xai- jina_ phx_", r"[A-Za-z0-9]{30,}+"),
    ("r8_ fw_ lin_api_ lin_oauth_ pcsk_ lsv2_pt_ lsv2_sk_", r"\w{28,}+"),
    ("glsa_ glc_ sntrys_ sntryu_ ops_eyJ ATATT3 ATCTT3 sb_secret_", r"[A-Za-z0-9+/=_-]{24,}+"),
    ("dop_v1_ doo_v1_ dor_v1_ rubygems_ sbp_ sk_ e2b_", r"[0-9a-f]{38,}+"),
    ("shpat_ shpss_ shpca_ shppa_ dapi key- fc- SK", rf"[0-9a-fA-F]{{32}}{_END}"),
    ("dckr_pat_ dckr_oat_ figd_ tskey- tvly- nvapi- sq0atp- sq0csp- CFPAT-", r"[\w-]{20,}+"),
    ("pypi- sl.", r"[\w-]{50,}+"),
    ("hvs. hvb. hvr. pscale_tkn_ pscale_pw_ dp.pt. dp.st. 1//0", r"[\w.=-]{20,}+"),
    ("PMAK- xkeysib-", r"[0-9a-f]{24,64}-\w{16,}+"),
    ("NRAK- AGE-SECRET-KEY-1", r"[A-Z0-9]{25,}+"),
    ("xprv yprv zprv tprv EAA AKCp", r"[A-Za-z0-9]{70,}+"),
    ("access-production- access-development- access-sandbox-", r"[0-9a-f-]{36}"),
    ("oy2", rf"[a-z0-9]{{43}}{_END}"),
    ("LTAI cio", rf"[A-Za-z0-9]{{16,32}}{_END}"),
    ("rzp_live_ rzp_test_", r"[A-Za-z0-9]{14,}+"),
    ("SG.", r"[\w-]{16,}+\.[\w-]{16,}+"),
    ("memstill_", r"[0-9a-f]{16}_[\w-]{43}"),
)
_MAKER_KEYS = tuple(
    Shape(
        "api-key",
        tuple(prefix.lower() for prefix in prefixes.split()),
        re.compile(f"{_START}(?:{'|'.join(map(re.escape, prefixes.split()))}){rest}"),
    )
    for prefixes, rest in _MAKERS
)
_AWS_IDS = ("AKIA", "ASIA", "AROA", "AIDA", "AGPA", "ANPA", "ABIA", "ACCA")
_AWS = rf"{_START}(?:{'|'.join(_AWS_IDS)})[A-Z0-9]{{16}}(?![A-Za-z0-9])"
_AWS_SECOND = (
    r"(?s:(\[redacted:aws-key\](?:(?!\[redacted:).){0,80}?(?<![A-Za-z0-9+/=]))"
    r"(?=[A-Za-z+/]{0,39}\d)(?=[0-9a-z+/]{0,39}[A-Z])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=]))"
)
# The first part is a number in base 64, which can start in no other way.
_DISCORD = rf"{_START}[MNO][DTjz][\w-]{{21,26}}\.[\w-]{{6}}\.[\w-]{{27,40}}"

# ---- private keys as files -----------------------------------------------------------------------

_PEM_LINES = (
    r"(?:(?:[\s>|]|\\[nr])*+(?:(?:Proc-Type|DEK-Info|Version|Comment|Hash): [^\n]{0,100}"
    r"|[A-Za-z0-9+/=]{16,}+))*+"
)
_PEM = (
    r"()-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{{1,60}}-----|{_PEM_LINES})"
)
_SSH2 = (
    r"()---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----(?:[^-]|-(?!---))*+"
    r"(?:---- END SSH2 [A-Z0-9 ]{1,60} ----)?"
)
_PUTTY = r"(Private-Lines: \d{1,4})(?:(?:[\s>|]|\\[nr])++[A-Za-z0-9+/=]{16,}+)+"

# ---- tokens in their protocols -------------------------------------------------------------------

_SLACK = rf"{_START}(?:xox[a-z]-[A-Za-z0-9-]{{10,}}+|xapp-[A-Za-z0-9-]{{16,}}+)"
_SLACK_HOOK = r"(hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9/]{20,}+"
_JWT = (
    r"eyJ[A-Za-z0-9_-]{8,}+\.(?:[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]*+){1,3}|eyJ[A-Za-z0-9_-]*+)"
)  # fmt: skip
_BEARER = (
    r"((?i:\bbearer\s{1,5}|authorization[\"'\\]{0,4}\s{0,5}[:=]\s{0,5}[\"'\\]{0,4}"
    r"(?:(?:basic|token|apikey|digest|key)\s{1,5})?))(?!(?i:bearer|basic)\s)"
    r"(?=[A-Za-z._~+/=-]{0,80}?[0-9]|[A-Za-z._~+/=-]{24})[A-Za-z0-9._~+/=-]{12,}+"
)
_COOKIE = (
    r"((?i:cookie)[\"'\\]{0,4}\s{0,3}:[^\n]{0,400}?[\w.-]{1,40}=)"
    r"(?=[\w%+/.:-]{0,60}?\d)[\w%+/.:-]{16,}+"
)
_URL = (
    r"(:\\?/\\?/[^\s:/@\"'<>\\]{0,256}:)(?!\[redacted:)[^\s/\"'<>\\]{1,256}(?=@)"
)  # fmt: skip
_ORACLE = (
    r"((?:jdbc:oracle:\w{1,10}:|\b(?:sqlplus|rman|expdp|impdp)\s{1,3}(?:-\w{1,3}\s{1,3})?)"
    r"\w{1,40}/)(?!\[redacted:)[^\s@/\"']{1,100}(?=@)"
)
_OTPAUTH = r"(otpauth:\\?/\\?/[^\s\"'<>]{0,300}?[?&](?:amp;)?secret=)[A-Za-z2-7]{8,}+"
_WIFI = r"(WIFI:(?:[A-OQ-Z]:[^;\n]{0,100};){0,4}P:)(?!\[redacted:)(?:[^;\\\n]|\\.){1,100}"
_XML = (
    r"(<(?:[\w:.-]{0,40}?(?:[Pp]ass(?:word|wd|phrase)|[Pp]wd|[Ss]ecret|[Aa]pi[-_]?[Kk]ey))"
    r"(?:\s[^<>]{0,100})?>)(?![\[<\s])[^<]{1,500}(?=</)"
)

# ---- commands and settings -----------------------------------------------------------------------

_CURL = (
    r"(\b(?:curl|https?|wget)\s[^\n]{0,300}?(?<=\s)(?:-[uUa]|--(?:proxy-)?user)[ =]?[\"']?"
    rf"[^\s:\"']{{1,100}}:){_VALUE}"
)
_OPTION = (
    r"(\b(?:sshpass\s{1,3}-p|redis-cli\s[^\n]{0,200}?(?<=\s)-a"
    r"|(?:docker|podman|helm|az|oc)\s[^\n]{0,80}?\blogin\s[^\n]{0,200}?(?<=\s)-p)[ =]?[\"']?"
    rf"|\bmy(?:sql|sqldump|sqladmin|cli)\b[^\n|;]{{0,200}}?\s-p[\"']?(?!\s)){_VALUE}"
)
_SUDO = (
    r"(\b(?:echo|printf)\s{1,3}(?:-\w{1,3}\s{1,3})?[\"']?)(?!\[redacted:)[^\s\"'|]{1,200}"
    r"(?=[\"']?\s{0,3}\|\s{0,3}sudo\s[^\n]{0,40}?-\w{0,4}S)"
)
_SQL = (
    r"((?i:\b(?:identified\s(?:with\s\w{1,40}\s)?by\s(?:password\s)?"
    r"|(?:user|role|with|encrypted|set)\s(?:\S{1,60}\s){0,3}?password\s{0,3}=?\s{0,3}))')"
    r"(?!\[redacted:)[^'\n]{1,200}(?=')"
)
_CONFIG = (
    r"(\b(?:requirepass|masterauth|rootpw|bindpw|login\s{1,3}\S{1,100}\s{1,3}password)\s{1,3}"
    r"|\buser(?:name)?\s{1,3}\S{1,100}\s{1,3}pass(?:word)?\s{1,3}(?=\S{0,80}?\d))"
    rf"{_VALUE}"
)
_AUTH = rf"((?<![^\s>$#])AUTH\s(?:[\w-]{{1,40}}\s)?){_MIXED}\S{{6,100}}(?=\s*?(?:\n|\Z))"
_PAIR = (
    r"((?i:\b(?:credentials?|creds|log[ -]?ins?|(?:log|logged|sign|signed) in (?:as|with)"
    r"|wi-?fi(?=:)(?!\W{1,4}802))\W{1,4}(?:are |is )?)[\w.@+-]{1,60}\s?[/:|]\s?"
    r"|(?<![\w/.@-])(?:root|admin|administrator):|\bnet\suser\s\S{1,60}\s)"
    rf"{_MIXED}(?!//)[^\s\"'<>,;/]{{8,100}}"
)
_PAIR_STARTS = (
    "credential|creds|login|log in|log-in|logged in|sign in|signed in|wifi:|wi-fi:|root:|admin:"
    "|administrator:|net user"
)
_YOUR_CODE = (
    r"(\b[Yy]our (?:(?!ZIP|QR|PLZ)[A-Z]\w{1,20} ){0,2}code(?: is|:) {1,3})\d{4,8}(?![\w-])"
)  # fmt: skip

_PATTERNS: tuple[tuple[str, str, str], ...] = (
    ("private-key", "-----begin ", _PEM),
    ("private-key", "---- begin ssh2", _SSH2),
    ("private-key", "private-lines:", _PUTTY),
    ("aws-key", "|".join(_AWS_IDS).lower(), _AWS),
    ("aws-key", "[redacted:aws-key]", _AWS_SECOND),
    ("github-token", "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_",
     _START + r"(?:gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+)"),
    ("gitlab-token", "gl",
     _START + r"gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat|oas|ffct)-[A-Za-z0-9_-]{16,}+"),
    ("slack-token", "xox|xapp-", _SLACK),
    ("slack-token", "hooks.slack.com", _SLACK_HOOK),
    ("stripe-key", "sk_live_|sk_test_|rk_live_|rk_test_|pk_live_|pk_test_|whsec_",
     _START + r"(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9+/=]{10,}+"),
    ("google-key", "aiza|ya29.|gocspx-",
     _START + r"(?:AIza[A-Za-z0-9_-]{30,}+|(?:ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,}+)"),
    ("anthropic-key", "sk-ant-", _START + r"sk-ant-[A-Za-z0-9_-]{12,}+"),
    ("openai-key", "sk-", _START + r"sk-(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{20,}+"),
    ("jwt", "eyj", _START + _JWT),
    ("api-key", ":aa", r"(:)(?<=\d{8}:)AA[A-Za-z0-9_-]{30,}+"),
    ("api-key", "md|mt|mj|mz|nd|nt|nj|nz|od|ot", _DISCORD),
    ("api-key", "pat", _START + r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    ("bearer-token", "bearer|authorization", _BEARER),
    ("cookie", "cookie", _COOKIE),
    ("url-password", ":/|:\\/", _URL),
    ("url-password", "jdbc:oracle|sqlplus|rman|expdp|impdp", _ORACLE),
    ("otp-secret", "otpauth:", _OTPAUTH),
    ("password", "wifi:", _WIFI),
    ("password", "<", _XML),
    ("password", "curl |http |https |wget ", _CURL),
    ("password", "sshpass|redis-cli|docker|podman|helm|az |oc |mysql|mycli", _OPTION),
    ("password", "echo|printf", _SUDO),
    ("password", "identified|user |role |with |encrypted |set ", _SQL),
    ("password", "requirepass|masterauth|rootpw|bindpw|login |user |username ", _CONFIG),
    ("password", "auth ", _AUTH),
    ("password", _PAIR_STARTS, _PAIR),
    ("one-time-code", "your ", _YOUR_CODE),
)  # fmt: skip

SHAPES: tuple[Shape, ...] = (
    *(
        Shape(kind, tuple(starts.split("|")), re.compile(pattern))
        for kind, starts, pattern in _PATTERNS
    ),
    *_MAKER_KEYS,
    Shape("api-key", ("-us",), re.compile(rf"{_START}[0-9a-f]{{32}}-us\d{{1,2}}(?!\w)"), 32),
    Shape(
        "api-key",
        (".atlasv1.",),
        re.compile(rf"{_START}[A-Za-z0-9]{{14}}\.atlasv1\.[A-Za-z0-9_=-]{{40,}}+"),
        14,
    ),
    Shape("api-key", ("azdo",), re.compile(rf"{_START}[A-Za-z0-9]{{76}}AZDO[A-Za-z0-9]{{4}}"), 76),
    Shape("azure-key", ("q~",), re.compile(rf"{_START}[\w~.-]{{3}}\dQ~[\w~.-]{{31,34}}"), 4),
    Shape(
        "azure-key",
        ("==",),
        re.compile(r"(?<![A-Za-z0-9+/_-])()[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])"),
        86,
    ),
)

STARTS: tuple[Start, ...] = tuple(
    Start(letters, place) for place, shape in enumerate(SHAPES) for letters in shape.starts
)
