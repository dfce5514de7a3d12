"""What is sent and stored is read one version back, and does not change unnoticed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from memstill_client.errors import InvalidTranscript
from tests.wire.formats import EXTRA, FORMATS, GOLDEN, Wire

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
HOW_TO_CHANGE = (
    "the format has changed: raise its version, read the one before as well, run "
    "`python -m tests.wire`, and let a release read it before the next one writes it"
)
every_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
numbered = pytest.mark.parametrize(
    "form", [form for form in FORMATS if form.newer], ids=lambda form: form.name
)


@every_format
def test_writer_writes_what_the_newest_golden_file_holds(form: Wire) -> None:
    """Whoever changes a format adds a version of it."""
    assert form.load(form.version) == form.written(), HOW_TO_CHANGE


@every_format
def test_reader_understands_this_version_and_the_one_before_alike(form: Wire) -> None:
    """The content of all golden files is one and the same."""
    understood = form.read(form.written())

    assert [understood] * len(form.versions) == [
        form.read(form.load(version)) for version in form.versions
    ]


@every_format
def test_unknown_field_is_passed_over_or_refused_by_name(form: Wire) -> None:
    """A newer release may add one; only what agents push is held to the letter."""
    found = form.load(form.version)
    wider = [{**item, **EXTRA} for item in found] if isinstance(found, list) else {**found, **EXTRA}

    if form.refuses:
        with pytest.raises(InvalidTranscript, match=next(iter(EXTRA))):
            form.read(wider)
    elif form.name != "identities":
        assert form.read(found) == form.read(wider)


@numbered
def test_version_that_is_not_known_is_said_to_be_so(form: Wire) -> None:
    """What is stored is left to a newer worker; what is pushed is refused with its field."""
    text = form.golden(form.version).read_text(encoding="utf-8")
    newer = re.sub(r'("schema_version": )\d+', rf"\g<1>{form.version + 1}", text)

    assert form.newer is not None
    with pytest.raises(form.newer, match=rf"version|{form.version + 1}"):
        form.read(json.loads(newer))


def test_golden_files_are_those_of_the_versions_that_are_read() -> None:
    """None is missing, and none is left of what nobody reads any more."""
    expected = {form.golden(version) for form in FORMATS for version in form.versions}

    assert expected == set(GOLDEN.iterdir())


def test_document_lists_every_format_with_its_version() -> None:
    """Nothing is sent or stored that the page does not name."""
    rows = re.findall(r"^\| ([\w -]+) \| (\d+) \| .* \| .* \|$", PAGE, re.MULTILINE)

    assert [(form.name, str(form.version)) for form in FORMATS] == rows
