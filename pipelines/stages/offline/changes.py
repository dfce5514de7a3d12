"""Says what took the place of what: "we switched from Jira to Linear"."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipelines.stages.offline.phrases import CAPITAL, CLAUSE_END, MAYBE_WE, OWN
from pipelines.stages.wordlist import word_set


class Change(NamedTuple):
    """A value of an attribute that has many, and the one that it replaced if that is named."""

    attribute: str
    value: str
    former: str | None


_PRODUCT = rf"{CAPITAL}[\w.+#-]+(?: {CAPITAL}[\w.+#-]*){{0,2}}(?: v?\d[\d.]*(?<!\.))?"
_VERSION = r"v?\d+(?:\.\d+)*"
_SWITCHED = r"(?i:switched|migrated|moved|changed|transitioned|converted)"
_WHAT = rf"(?: (?:over|everything|(?:{OWN.lower()}|the) [\w ]{{2,30}}?|from [a-z][\w ]{{2,20}}))?"
_FROM_TO = re.compile(
    rf"{MAYBE_WE}{_SWITCHED}{_WHAT} from (?P<former>{_PRODUCT})"
    rf" to (?P<value>{_PRODUCT}){CLAUSE_END}"
)
_TO = re.compile(
    rf"{MAYBE_WE}(?i:switched|migrated) (?:over )?to (?P<value>{_PRODUCT}){CLAUSE_END}"
)
_REPLACED = re.compile(
    rf"{MAYBE_WE}(?i:replaced|swapped(?: out)?|ditched|dropped|left) (?P<former>{_PRODUCT})"
    rf" (?:with|for|in favou?r of|by) (?P<value>{_PRODUCT}){CLAUSE_END}"
)
_UPGRADED = re.compile(
    rf"{MAYBE_WE}(?i:upgraded|updated|bumped|migrated|moved) (?:to )?(?P<product>{CAPITAL}[\w.+#-]*"
    rf"(?: {CAPITAL}[\w+#-]*)?) from (?P<former>{_VERSION}) to (?P<value>{_VERSION})(?!\w)"
)
_NO_TOOLS = word_set(
    """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June
    July August September October November December I Sales Marketing Engineering Product Design
    Finance HR Support Operations English German French Spanish Italian Plan Phase
    """
)


def find_change(clause: str) -> Change | None:
    """The tool or version that took the place of another."""
    match = _UPGRADED.match(clause)
    if match is not None:
        product = match["product"]
        return Change("tool", f"{product} {match['value']}", f"{product} {match['former']}")
    match = _FROM_TO.match(clause) or _REPLACED.match(clause) or _TO.match(clause)
    if match is None or any(_is_no_tool(name) for name in match.groups()):
        return None
    former = match.groupdict().get("former")
    return Change("tool", match["value"].rstrip(".,!"), former.rstrip(".,!") if former else None)


def _is_no_tool(name: str) -> bool:
    return bool(_NO_TOOLS.intersection(name.split()))
