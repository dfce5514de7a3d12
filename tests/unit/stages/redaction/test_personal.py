"""Personal data: found where it is, replaced alike for the same value, kept where it is kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from pipelines.model import Draft, Kind
from pipelines.stages.grounding.ground import ground
from pipelines.stages.redaction.personal import StandIns
from tests.builders import make_transcript

REGIONS = PersonalDataPolicy().phone_regions
MASK = dict.fromkeys(PersonalKind, Handling.MASK)
DROP = dict.fromkeys(PersonalKind, Handling.DROP)


def masked(text: str, regions: tuple[str, ...] = REGIONS) -> str:
    return StandIns(MASK, regions, [text]).replace(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail alice@example.com.", "mail [email-1]."),
        ("A.B+c@sub.example.co.uk, ok", "[email-1], ok"),
        ("alice (at) example (dot) com", "[email-1]"),
        ("<bob@example.org>", "<[email-1]>"),
        ("jürgen@müller.de", "[email-1]"),
        ("+49 170 1234567 or 0170 1234567", "[phone-1] or [phone-1]"),
        ("0049 170 1234567", "[phone-1]"),
        ("(415) 555-2671", "[phone-1]"),
        ("415-555-2671, 1-415-555-2671", "[phone-1], [phone-1]"),
        ("555-123-4567", "[phone-1]"),
        ("my number is 5551234567", "my number is [phone-1]"),
        ("Tel. 030/1234567", "Tel. [phone-1]"),
        ("call 06 12 34 56 78 now", "call [phone-1] now"),
        ("room 5 020 7946 0958", "room 5 [phone-1]"),
        ("my SSN is 536-90-4399", "my SSN is [national-id-1]"),
        ("ssn: 536904399", "ssn: [national-id-1]"),
        ("nino AB 12 34 56 C, AB123456C", "nino [national-id-1], [national-id-1]"),
        ("Steuer-ID 36 574 261 809", "Steuer-ID [national-id-1]"),
        ("12345678Z and X1234567L", "[national-id-1] and [national-id-2]"),
        ("RSSMRA85T10A562S", "[national-id-1]"),
        ("529.982.247-25", "[national-id-1]"),
        ("NHS number 943 476 5919", "NHS number [national-id-1]"),
        ("driver's license: D1234567", "driver's license: [national-id-1]"),
        ("passport number is C01X00T47 now", "passport number is [passport-1] now"),
        ("Reisepass C01X00T47", "Reisepass [passport-1]"),
        ("to DE89 3704 0044 0532 0130 00 bitte", "to [iban-1] bitte"),
        ("GB82WEST12345698765432", "[iban-1]"),
        ("I live at 12 Main Street, Springfield, IL 62704.", "I live at [address-1]."),
        ("350 Fifth Avenue, Apt 4B, New York, NY 10118", "[address-1]"),
        ("221B Baker Street, London NW1 6XE", "[address-1]"),
        ("in der Musterstraße 12a, 12345 Berlin", "in der [address-1]"),
        ("Keizersgracht 123, 1015 CJ Amsterdam", "[address-1]"),
        ("12 rue de la Paix, 75002 Paris", "[address-1]"),
        ("Calle Mayor 5, 28013 Madrid", "[address-1]"),
        ("P.O. Box 1234, Austin, TX 78701", "[address-1]"),
        ("my address is 12 main street, springfield", "my address is [address-1]"),
        ("i moved to 44 elm street last week", "i moved to [address-1] last week"),
    ],
)
def test_stand_ins_replace_personal_data(text: str, expected: str) -> None:
    """Each kind is found in the forms in which people write it, and nothing else is touched."""
    assert expected == masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "I live in Berlin and work at Acme.",
        "git@github.com:org/repo.git and pkg@1.2.3 and @alice",
        "order 5551234567 of 2024-10-15 at 10:30",
        "192.168.100.101 runs 1.2.3 since 1683500000000",
        "6-3 4-6 6-3 7-6 (7-5) in 2019-2023",
        "2.11111111111111 and $1,234,567 and 12 345 678",
        "ticket 000-12-3456 and part 12345678A",
        "IBAN DE00 3704 0044 0532 0130 00 is a typo",
        "I need a new passport for 2025",
        "we walked 5 miles down the road, 2 people on the street",
        "IP address: 10.0.0.1",
        "call me at 5pm on 2024 10 15",
        "550e8400-e29b-41d4-a716-446655440000",
        "[email-1] and [phone-2]",
    ],
)
def test_stand_ins_leave_alone_what_only_looks_personal(text: str) -> None:
    """Orders, versions, dates, scores and false check digits stay as they are."""
    assert text == masked(text)


def test_stand_ins_are_the_same_for_the_same_value_in_all_texts_of_a_transcript() -> None:
    """However a value is spelled, it has one stand-in; another value has another."""
    stand_ins = StandIns(MASK, REGIONS)

    texts = ["a@x.org, b@x.org", "A@X.org and +1 415 555 2671", "(415) 555-2671"]

    assert ["[email-1], [email-2]", "[email-1] and [phone-1]", "[phone-1]"] == [
        stand_ins.replace(text) for text in texts
    ]
    assert {"email": 3, "phone": 2} == stand_ins.counts


def test_stand_ins_take_no_number_that_the_transcript_already_uses() -> None:
    """A stand-in that somebody wrote never becomes another value's."""
    texts = ["a@x.org", "see [email-4]"]
    stand_ins = StandIns(MASK, REGIONS, texts)

    assert ["[email-5]", "see [email-4]"] == [stand_ins.replace(text) for text in texts]


def test_stand_ins_say_nothing_but_the_kind_when_the_policy_drops() -> None:
    """Dropped values cannot even be told apart."""
    stand_ins = StandIns(DROP, REGIONS)

    assert "[email] or [email]" == stand_ins.replace("a@x.org or b@x.org")
    assert {"email": 2} == stand_ins.counts


def test_stand_ins_keep_what_the_policy_does_not_name() -> None:
    """Kinds are handled one by one; without a policy everything is kept."""
    text = "a@x.org, +1 415 555 2671"

    assert text == StandIns({}, REGIONS).replace(text)
    only_mail = {PersonalKind.EMAIL: Handling.MASK, PersonalKind.PHONE: Handling.KEEP}
    assert "[email-1], +1 415 555 2671" == StandIns(only_mail, REGIONS).replace(text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("phone", "5551234567", "[phone-1]"),
        ("order", "5551234567", "5551234567"),
        ("home_address", "12 some lane, town", "[address-1]"),
        ("a@x.org", "plain", "plain"),
    ],
)
def test_stand_ins_read_a_field_by_its_name(name: str, value: str, expected: str) -> None:
    """Digits under "phone" are a phone number, under "order" they are not."""
    stand_ins = StandIns(MASK, REGIONS)

    assert expected == stand_ins.replace_field(name, value)
    assert int(expected != value) == sum(stand_ins.counts.values())


def test_stand_ins_know_national_phone_numbers_of_the_policy_s_countries_only() -> None:
    """What a number without its country's prefix is depends on the countries one lives in."""
    assert "612 345 678" == masked("612 345 678")
    assert "[phone-1]" == masked("612 345 678", ("ES",))


def test_grounding_holds_a_fact_to_a_transcript_with_stand_ins() -> None:
    """What is distilled from a masked transcript quotes its stand-ins and is supported."""
    transcript = make_transcript(masked("Send invoices to pay@x.org, never to my old a@x.org."))
    draft = Draft(
        statement="User wants invoices sent to [email-1]",
        subject="User",
        kind=Kind.PREFERENCE,
        quote="Send invoices to [email-1]",
        message_ids=("m0",),
    )
    invented = Draft(
        statement="User wants invoices sent to [email-3]",
        subject="User",
        kind=Kind.PREFERENCE,
        quote="Send invoices to [email-1]",
        message_ids=("m0",),
    )

    facts, refusals = ground([draft, invented], transcript, "test/1")

    assert [draft.statement] == [fact.statement for fact in facts]
    assert [invented] == [refusal.draft for refusal in refusals]


_PIECES = st.sampled_from(
    ["a@x.org", "+1 415 555 2671", " ", "12 Main Street", ", ", "ssn ", "536-90-4399", "[email-1]",
     "DE89370400440532013000", "1", "passport no. ", "C01X00T47", "\n", "my address is ", "x"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=60))
def test_stand_ins_change_nothing_when_they_are_put_in_again(text: str) -> None:
    """A masked text holds no personal data any more."""
    once = masked(text)

    assert once == masked(once)


@pytest.mark.parametrize(
    "piece",
    ["a@", "@", "a.", "1 ", "12 ", "415 ", "(415) 555-2671 ", "A ", "12 Main ", "DE89 ", "ssn ",
     "my address is ", "address: a", "(at)", "live at 12 a ", "passport number is ", "0301234567 "],
)  # fmt: skip
def test_stand_ins_take_linear_time_when_a_text_is_hostile(piece: str) -> None:
    """Ten times the text takes about ten times as long, never a hundred times."""
    masked("+1 415 555 2671, 536-90-4399, DE89370400440532013000")
    small, large = (piece * (size // len(piece)) for size in (5_000, 50_000))

    # A machine may stumble once; what takes a hundred times as long does so each time.
    assert any(_seconds(large) < 40 * max(_seconds(small), 0.001) for _ in range(3))


def _seconds(text: str) -> float:
    started = time.process_time()
    masked(text)
    return time.process_time() - started
