"""Tells towns from what else one lives in or moves to."""

from __future__ import annotations

import re

from pipelines.stages.dedup.places import REGIONS
from pipelines.stages.wordlist import word_set

_CITY_REGIONS = frozenset({"new york", "singapore", "monaco", "luxembourg", "washington"})
_LARGER = frozenset(
    {
        "europe", "asia", "africa", "america", "north america", "south america", "latin america",
        "central america", "scandinavia", "britain", "holland", "bavaria", "saxony", "hesse",
        "tuscany", "catalonia", "andalusia", "provence", "brittany", "normandy", "flanders",
        "ontario", "quebec", "british columbia", "alberta", "queensland", "new south wales",
        "georgia", "siberia",
    }
)  # fmt: skip
# What teams and people move to that is no place, and calendar words.
_NO_PLACES = word_set(
    """
    mysql postgresql postgres redis kafka kubernetes docker aws azure gcp slack teams jira linear
    notion github gitlab bitbucket vim neovim emacs vscode python rust go java react vue angular
    svelte django flask fastapi celery mongo mongodb oracle windows linux mac macos ios android
    ubuntu debian fedora chrome firefox spotify netflix excel sheets airtable salesforce hubspot
    stripe paypal zoom discord telegram whatsapp signal heroku vercel netlify cloudflare terraform
    ansible jenkins spark snowflake bigquery databricks typescript javascript kotlin swift scala
    elixir ruby rails php laravel node deno bun pytorch tensorflow obsidian todoist trello asana
    figma sketch gmail outlook proton dropbox qdrant elasticsearch opensearch sqlite rabbitmq nginx
    apache helm poetry uv pip conda npm yarn pnpm basecamp monorepo microservices cloud
    monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december english german french spanish italian plan
    phase level step stage part team group marketing sales engineering product design finance hr
    operations support
    """
)
_TECHNICAL = re.compile(r"\d|[a-z][A-Z]|^[A-Z]{4,}$")


def is_town(place: str) -> bool:
    """Whether a capitalised phrase can be a town; countries, states and products are none."""
    plain = place.casefold().replace(".", " ").strip()
    if plain in _CITY_REGIONS:
        return True
    return not (
        plain.removeprefix("the ") in REGIONS | _LARGER
        or _NO_PLACES & set(plain.split())
        or _TECHNICAL.search(place)
    )
