"""Numbers that a state or a bank gives a person: by form and check digit, or by their name."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from pipelines.stages.redaction.personal.found import Found, plain_key
from pipelines.stages.redaction.secret_shapes import find_all, lower
from pipelines.stages.wordlist import any_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# ---- known by form and check: (module of stdnum, form) -------------------------------------------

_FORMS: tuple[tuple[str, str], ...] = (
    ("us.ssn", r"\d{3}-\d{2}-\d{4}"),
    ("us.itin", r"9\d{2}-\d{2}-\d{4}"),
    ("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    ("fr.nir", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}"),
    ("es.dni", r"\d{8}-?[A-Z]"),
    ("es.nie", r"[XYZ]-?\d{7}-?[A-Z]"),
    ("it.codicefiscale", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]"),
    ("ch.ssn", r"756\.\d{4}\.\d{4}\.\d{2}"),
    ("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    ("mx.curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d"),
    ("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    ("se.personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}"),
    ("dk.cpr", r"\d{6}-\d{4}"),
    ("fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Y]"),
    ("in_.aadhaar", r"\d{4} \d{4} \d{4}"),
    ("kr.rrn", r"\d{6}-\d{7}"),
)
_ENDED = tuple((name, re.compile(rf"{form}(?![\w-])(?!\.\d)")) for name, form in _FORMS)
# Looked at behind a form: patterns that start with a digit or a capital are found quickly.
_INSIDE = re.compile(r"[\w.+-]")
_NINO = re.compile(
    r"[A-CEGHJ-PR-TW-Z](?<!\w.)(?<!(?=BG|GB|KN|NK|NT|TN|ZZ).)[A-CEGHJ-NPR-TW-Z]"
    r" ?(?:\d\d ?){3}[A-D](?!\w)"
)


@lru_cache(maxsize=64)
def _checker(name: str) -> Callable[[str], bool]:
    check: Callable[[str], bool] = import_module(f"stdnum.{name}").is_valid
    return check


def find_national_ids(text: str) -> Iterator[Found]:
    """National ids of many countries; a false check digit makes a number something else."""
    for match in _NINO.finditer(text):
        yield _found(match)
    for name, form in _ENDED:
        for match in form.finditer(text):
            is_inside = _INSIDE.match(text[max(0, match.start() - 1) : match.start()])
            if not is_inside and _checker(name)(match[0]):
                yield _found(match)
    yield from _find_called(text, _IDS, _ID_NAMES)


_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,4})?"
    r"(?![A-Za-z0-9])"
)


def find_ibans(text: str) -> Iterator[Found]:
    """International bank account numbers whose check digits are right."""
    for match in _IBAN.finditer(text):
        number = match[0]
        while number and not _checker("iban")(number):
            # Words that follow can look like further groups.
            number = number.rpartition(" ")[0]
        if number:
            yield Found(match.start(), match.start() + len(number), plain_key(number))


def find_passports(text: str) -> Iterator[Found]:
    """What is called a passport's number, and the two lines that machines read."""
    for match in _MACHINE_READ.finditer(text):
        yield _found(match)
    yield from _find_called(text, _PASSPORTS, _PASSPORT_NAMES)


_MACHINE_READ = re.compile(r"P[A-Z<][A-Z]{3}[A-Z<]{39}\s{1,2}[A-Z0-9<]{44}(?![\w<])")

# ---- known by what they are called ---------------------------------------------------------------

_NUMBER = (
    r"(?:[ _-]?(?:number|num|no|nr|id|nummer|numero|n\u00famero|#)\.?)?"
    r"(?:\s(?:is|was|ist|lautet|es|est))?\s?[:#=]?\s?[\"']?"
    r"(?P<value>[A-Za-z]{0,3}\d[A-Za-z0-9]{0,19}"
    r"(?:[ ./-][A-Za-z]{0,2}\d[A-Za-z0-9]{0,11}){0,4})(?!\w)"
)
_PASSPORTS = re.compile(
    rf"(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort){_NUMBER}", re.IGNORECASE
)
_PASSPORT_NAMES = ("passport", "reisepass", "passeport", "pasaporte", "passaporto", "paspoort")
_SPELLED = any_of(
    """
    ssn
    social[ _]security
    national[ _]insurance
    nino
    nhs
    steuer[- ]?id\\w{0,24}
    steuernummer
    tax(?:payer)?[ _](?:id|identification)
    national[ _]id\\w{0,6}
    (?:id|identity)[ _]card
    (?:personal)?ausweis
    driv(?:er'?s|ers|er|ing)[ _]licen[cs]e
    führerschein
    sozialversicherung\\w{0,10}
    codice fiscale
    burgerservicenummer
    personnummer
    pesel
    aadhaar
    sécurité sociale
    """
)
_IDS = re.compile(rf"(?<![A-Za-z])(?:(?i:{_SPELLED})|DNI|NIE|NIF|BSN|CPF|TIN|ITIN){_NUMBER}")
_ID_NAMES = (
    "ssn", "social", "national", "nino", "nhs", "steuer", "tax", "id card", "id_card", "identity",
    "personalausweis", "ausweis", "driv", "führerschein", "sozialv", "codice", "burgerservice",
    "personnummer", "pesel", "aadhaar", "sécurité", "dni", "nie", "nif", "bsn", "cpf", "tin",
    "itin",
)  # fmt: skip
_MIN_CHARS, _MIN_DIGITS = 6, 4


def _find_called(text: str, pattern: re.Pattern[str], starts: tuple[str, ...]) -> Iterator[Found]:
    position = 0
    for place in find_all(lower(text), starts):
        match = pattern.match(text, place) if place >= position else None
        value = match["value"] if match else ""
        if match and len(plain_key(value)) >= _MIN_CHARS and _count_digits(value) >= _MIN_DIGITS:
            position = match.end("value")
            yield Found(match.start("value"), position, plain_key(value))


def _count_digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def _found(match: re.Match[str]) -> Found:
    return Found(match.start(), match.end(), plain_key(match[0]))
