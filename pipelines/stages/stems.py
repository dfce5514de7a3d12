"""Stems of English words, by Snowball's English stemmer (https://snowballstem.org)."""

from __future__ import annotations

import threading

import Stemmer

_LANGUAGE = "english"


class _Local(threading.local):
    """A stemmer keeps its word in itself: each thread has one."""

    def __init__(self) -> None:
        self.stemmer = Stemmer.Stemmer(_LANGUAGE)


_local = _Local()


def stem(word: str) -> str:
    """The stem of a word in lower case."""
    found: str = _local.stemmer.stemWord(word)
    return found
