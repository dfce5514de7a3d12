"""Postal addresses, as far as rules can: street and number, with postcode and town behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.redaction.personal.found import Found, plain_key
from pipelines.stages.redaction.secret_shapes import find_all, lower

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = (
    "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq"
    "|terrace|parkway|pkwy|highway|hwy|circle|cir|way|close|crescent|gardens|grove|mews|row|walk"
)
_SUFFIXES = "|".join(word.capitalize() for word in _SUFFIX.split("|"))
_CAPITAL = r"[A-Z\u00c0-\u00de]"
_UNIT = r"(?:,?\s(?:(?i:apt|apartment|unit|suite|ste|flat|floor)\.?\s?#?|#)[\w-]{1,8})?"
_POSTCODE = r"(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2})(?![\w-])"
_TOWN_THEN_CODE = (
    rf"(?:,?\s{{1,2}}(?:{_CAPITAL}[\w.'-]{{1,20}},?\s){{0,4}}(?:[A-Z]{{2}}\s)?{_POSTCODE})?"
)
_CODE_THEN_TOWN = (
    r"(?:,?\s{1,2}(?:[A-Z]{1,2}-)?\d{4,5}(?:\s?[A-Z]{2}\b)?"
    rf"(?:\s{_CAPITAL}[\w.'-]{{1,25}}){{0,2}})?"
)
_ENGLISH = re.compile(
    r"(?<![\w.,$#-])\d{1,6}[A-Za-z]?(?:-\d{1,4})?\s(?:[NSEW]\.?\s)?"
    rf"(?:(?:{_CAPITAL}[\w.'\u2019-]{{0,25}}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}(?:{_SUFFIXES})\b\.?"
    rf"{_UNIT}{_TOWN_THEN_CODE}"
)
_GERMANIC = re.compile(
    rf"(?<!\w)(?:{_CAPITAL}[\w.-]{{1,30}}(?:stra\u00dfe|strasse|str\.|weg|platz|allee|gasse|ring"
    r"|damm|ufer|chaussee|straat|laan|gracht|plein|kade|singel)"
    rf"|(?:{_CAPITAL}[\w.-]{{1,25}}[ -]){{1,3}}(?:Stra\u00dfe|Strasse|Str\.|Weg|Platz|Allee|Gasse"
    rf"|Ring|Damm|Ufer))\s\d{{1,4}}(?:\s?[a-z](?!\w))?(?!\w){_CODE_THEN_TOWN}"
)
_FRENCH = re.compile(
    r"(?<![\w.,-])\d{1,4}(?:\s?(?:bis|ter))?,?\s(?:rue|avenue|av\.|boulevard|bd|place|chemin|all\u00e9e"
    r"|impasse|quai|route)\s(?:(?:de|du|des|la|le|les)\s|[ld]['\u2019]){0,3}"
    rf"{_CAPITAL}[\w'\u2019-]{{1,25}}(?:\s{_CAPITAL}[\w'\u2019-]{{1,25}}){{0,3}}{_CODE_THEN_TOWN}"
)
_SOUTHERN = re.compile(
    r"(?<!\w)(?:Calle|C/|Avenida|Avda\.?|Paseo|Plaza|Via|Viale|Piazza|Corso|Rua)\s"
    rf"(?:(?:de|del|della|dei|la|las|los|el|do|da)\s){{0,3}}(?:{_CAPITAL}[\w'.-]{{1,25}}\s?){{1,4}}"
    rf"(?:,\s?|\s)?(?:n[\u00bao.]\s?)?\d{{1,4}}(?!\w){_CODE_THEN_TOWN}"
)
_BOX = re.compile(rf"(?i:\bp\.?\s?o\.?\s?box|\bpostfach)\s\d[\d ]{{0,9}}(?<=\d){_TOWN_THEN_CODE}")
_SAID = re.compile(
    r"(?:(?:my|our|home|postal|mailing|shipping|billing|delivery|street)[ _]address"
    r"(?:\s(?:is|was))?"
    r"|(?<![\w.-])address(?=[\"']?:)|anschrift|wohnadresse|postadresse)[\"']?:?\s{1,3}[\"']?"
    r"(?P<value>(?![^\n]{0,40}(?:@|://))[^;\n\"]{5,120}?)(?=[.;\"]?\s*(?:\n|\Z)|\.\s|[;\n\"])",
    re.IGNORECASE,
)
_LIVES = re.compile(
    r"(?:live|lives|living|reside|resides|moved|staying|stay)\s(?:at|to|on)\s(?P<value>\d{1,6}[a-z]?\s"
    rf"(?:[\w.'-]{{1,25}}\s){{1,4}}?(?:{_SUFFIX})(?![\w]))",
    re.IGNORECASE,
)
_FORMS = (_ENGLISH, _GERMANIC, _FRENCH, _SOUTHERN, _BOX)
_SAID_STARTS = (
    "my address", "our address", "home address", "postal address", "mailing address", "address",
    "shipping address", "billing address", "delivery address", "street address", "anschrift",
    "home_address", "postal_address", "street_address", "wohnadresse", "postadresse",
    "live", "living", "reside", "moved", "stay",
)  # fmt: skip
_STAND_IN = re.compile(r"\[[a-z-]{3,12}(?:-\d{1,6})?\]")
_WORDS = re.compile(r"[^\W\d_]{3,}")


def find_addresses(text: str) -> Iterator[Found]:
    """Addresses known by their form, and what somebody says is theirs."""
    for form in _FORMS:
        for match in form.finditer(text):
            yield Found(match.start(), match.end(), plain_key(match[0]))
    for place in find_all(lower(text), _SAID_STARTS):
        said = _SAID.match(text, place) or _LIVES.match(text, place)
        if said is not None and _is_address(said["value"]):
            yield Found(said.start("value"), said.end("value"), plain_key(said["value"]))


def _is_address(value: str) -> bool:
    said = _STAND_IN.sub("", value)
    return any(map(str.isdigit, said)) and " " in said.strip() and bool(_WORDS.search(said))
