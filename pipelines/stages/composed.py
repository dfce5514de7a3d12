"""Unicode in its compatible form, in linear time whatever marks are piled up."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Unicode's own bound for text that is read as a stream; sorting more of them takes quadratic time.
_MAX_MARKS = 30
_FIRST_MARK, _LAST_MARK = 0x300, 0x1F000


def compatible(text: str) -> str:
    """A text composed, compatible forms as the plain ones (NFKC).

    Of more than 30 marks on one letter the rest is left out.
    """
    return text if text.isascii() else unicodedata.normalize("NFKC", without_heaps(text))


def without_heaps(text: str) -> str:
    """A text without the marks behind the thirtieth on one letter."""
    return text if text.isascii() else _heaps().sub(r"\1", text)


def without_marks(text: str) -> str:
    """A text whose letters have lost their accents and other marks."""
    return text if text.isascii() else unicodedata.normalize("NFD", text).translate(_no_marks())


@lru_cache(maxsize=1)
def _marks() -> tuple[str, ...]:
    return tuple(filter(unicodedata.combining, map(chr, range(_FIRST_MARK, _LAST_MARK))))


@lru_cache(maxsize=1)
def _no_marks() -> dict[int, None]:
    return dict.fromkeys(map(ord, _marks()))


@lru_cache(maxsize=1)
def _heaps() -> re.Pattern[str]:
    any_mark = f"[{''.join(map(re.escape, _marks()))}]"
    return re.compile(f"({any_mark}{{{_MAX_MARKS}}}){any_mark}+")
