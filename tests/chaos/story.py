"""What users say, and what a model makes of it: both read the same sentences.

A fact is a function of the session's text alone, whatever shares a request with it, so the
memories that remain at the end can be compared with those of another run.
"""

from __future__ import annotations

import re
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.endpoint import fact_from

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from datetime import datetime

    from tests.endpoint import FactDict, Line

CITIES = ("Berlin", "Lisbon", "Vienna", "Oslo", "Madrid", "Prague", "Dublin", "Turin")
EMPLOYERS = ("Acme", "Globex", "Initech", "Umbrella", "Hooli")
LANGUAGES = ("French", "Turkish", "Polish", "Finnish", "Korean")
COMPONENTS = ("cache", "scheduler", "gateway", "indexer")

# Told again and again in the same words.
HABITS = (
    "I prefer short answers with bullet points.",
    "I keep my notes in plain text files.",
    "I never deploy anything on a Friday afternoon.",
    "I am allergic to hazelnuts.",
)
# Pairs that the rules hold for the same.
REWORDED = (
    ("I love hiking in the mountains.", "I really love hiking in the mountains!"),
    (
        "I drink green tea every morning before work.",
        "Every morning before work I drink my green tea.",
    ),
)
# Pairs that only a judge can tell to be the same.
RETOLD = (
    (
        "I take the night train to visit my parents in spring.",
        "In spring I take the sleeper train to visit my parents.",
    ),
    (
        "My sister Mia plays the cello in an orchestra.",
        "My sister Mia is a cellist who plays in an orchestra.",
    ),
    (
        "I water the tomatoes on the balcony at sunset.",
        "I pour water on the tomatoes of the balcony at sunset.",
    ),
)
CHATTER = ("Good morning!", "Thanks, that helps.", "Hm.", "Let me see.", "What else is open?")
REPLIES = ("Noted.", "Understood, I will look into it.", "Here is what I found.")
_FILLER = "This part of the log repeats what the console had shown on the day before. "

_PLAIN = frozenset([*HABITS, *(said for pair in (*REWORDED, *RETOLD) for said in pair)])
_TWINS = [frozenset(pair) for pair in RETOLD]
_SENTENCE = re.compile(r"[^.!?]+[.!?]+")
_LOOSE_WORDS = 6
_RULES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (
        re.compile(r"I moved to (?P<value>\w+) on (?P<event_date>[\d-]+)\."),
        {"attribute": "home city", "kind": "profile"},
    ),
    (
        re.compile(r"I live in (?P<value>\w+) these days\."),
        {"attribute": "home city", "kind": "profile"},
    ),
    (
        re.compile(r"My monthly budget is (?P<value>\d+ euros)\."),
        {"attribute": "monthly budget", "kind": "profile"},
    ),
    (re.compile(r"I work at (?P<value>\w+) now\."), {"attribute": "employer", "kind": "profile"}),
    (
        re.compile(r"I left (?P<value>\w+) for good\."),
        {"attribute": "employer", "kind": "profile", "ends": True},
    ),
    (re.compile(r"I speak (?P<value>\w+) fluently\."), {"attribute": "language"}),
    (
        re.compile(r"I have forgotten all my (?P<value>\w+)\."),
        {"attribute": "language", "ends": True},
    ),
    (re.compile(r"I own \d+ bicycles\."), {"kind": "profile"}),
    (re.compile(r"Ticket \d+ was closed after we restarted the \w+\."), {"kind": "outcome"}),
)


def invent_session(dice: random.Random, number: int, started_at: datetime) -> list[dict[str, Any]]:
    """The messages of one session; a few are long, and a few hold nothing worth keeping."""
    said = [f"Ticket {1000 + number} was closed after we restarted the {dice.choice(COMPONENTS)}."]
    if dice.random() < 0.06:
        said = [f"Call number {1000 + number} was short."]
    else:
        said += [news for news in _news(dice, started_at) if dice.random() < 0.4]
    messages: list[dict[str, Any]] = []
    for sentence in said:
        opening = dice.choice(CHATTER) + " " if dice.random() < 0.5 else ""
        messages.append({"role": "user", "content": opening + sentence})
        messages.append({"role": "assistant", "content": dice.choice(REPLIES)})
    if dice.random() < 0.1:
        messages.append({"role": "tool", "name": "log", "content": _FILLER * 2})
    if dice.random() < 0.04:
        messages.insert(1, {"role": "assistant", "content": _FILLER * 180})
    return messages


def _news(dice: random.Random, started_at: datetime) -> Iterator[str]:
    since = (started_at - timedelta(days=dice.randint(0, 60))).date()
    yield f"I moved to {dice.choice(CITIES)} on {since.isoformat()}."
    yield f"I live in {dice.choice(CITIES)} these days."
    yield f"My monthly budget is {dice.randint(3, 9) * 50} euros."
    employer, language = dice.choice(EMPLOYERS), dice.choice(LANGUAGES)
    yield dice.choice((f"I work at {employer} now.", f"I left {employer} for good."))
    yield dice.choice((f"I speak {language} fluently.", f"I have forgotten all my {language}."))
    yield f"I own {dice.randint(2, 5)} bicycles."
    yield dice.choice(HABITS)
    yield dice.choice(dice.choice(REWORDED))
    yield dice.choice(dice.choice(RETOLD))


def distil(lines: list[Line]) -> list[FactDict]:
    """What the scripted model answers."""
    return [
        fact
        for line in lines
        if line["role"] == "user"
        for sentence in _SENTENCE.findall(line["content"])
        if (fact := _read(line, sentence.strip())) is not None
    ]


def judge(pair: Line) -> str:
    """What the scripted judge answers: by the statements alone, whoever asks when."""
    if "attribute" in pair:
        return "changed"
    said = {pair["a"]["statement"], pair["b"]["statement"]}
    return "same" if any(said <= twins for twins in _TWINS) else "both"


def _read(line: Line, sentence: str) -> FactDict | None:
    for pattern, changes in _RULES:
        found = pattern.fullmatch(sentence)
        if found is not None:
            named = found.groupdict()
            return fact_from(line, statement=sentence, quote=sentence, **changes, **named)
    if sentence in _PLAIN:
        return fact_from(line, statement=sentence, quote=sentence, kind="preference")
    return fact_from(line, statement=sentence, quote=sentence) if _is_telling(sentence) else None


def _is_telling(sentence: str) -> bool:
    """Some of the sentences that nobody invented here: those of a data set."""
    is_long = len(sentence.split()) >= _LOOSE_WORDS and not sentence.endswith("?")
    return is_long and zlib.crc32(sentence.encode()) % 3 == 0
