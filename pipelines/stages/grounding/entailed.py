"""Values that sum up what was said in other words: "my wife" makes somebody married."""

from __future__ import annotations

_ENTAILED = {
    "vegetarian": "meat vegetarian plants",
    "vegan": "meat dairy animal milk eggs plants",
    "pescatarian": "meat fish seafood",
    "omnivore": "meat fish",
    "teetotal": "alcohol drink sober",
    "married": "husband wife spouse wedding married marry",
    "engaged": "fiance fianc\u00e9 fianc\u00e9e fiancee engagement proposed",
    "divorced": "divorce divorced ex",
    "widowed": "widow widower died passed late",
    "single": "broke single split dating",
    "in a relationship": "girlfriend boyfriend partner",
    "parent": "son daughter kid kids child children baby",
    "mother": "son daughter kid kids child children baby",
    "father": "son daughter kid kids child children baby",
    "student": "study studying university college semester exam exams degree school",
    "retired": "retire retirement pension",
    "unemployed": "job laid fired quit",
    "self-employed": "freelance freelancer own business",
    "freelancer": "freelance freelancing",
    "remote": "home remotely",
    "yes": "", "no": "", "none": "", "true": "", "false": "",
}  # fmt: skip
_OF = {value: frozenset(words.split()) for value, words in _ENTAILED.items()}
_BARE = frozenset({"yes", "no", "none", "true", "false"})


def is_entailed(value: str, words: frozenset[str]) -> bool:
    """Whether words of the evidence bear a value out that none of them names."""
    plain = " ".join(value.casefold().split())
    return plain in _BARE or bool(_OF.get(plain, frozenset()) & words)
