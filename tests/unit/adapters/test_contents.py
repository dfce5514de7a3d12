"""What tables hold is compared row by row, whatever the order and whichever road was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.postgres.contents import Tally, split_script, tally_script

if TYPE_CHECKING:
    import random

    from pipelines.ports import TableContent

# As COPY writes them: no line has an end of line in it, nor is it the end of all.
ROWS = st.lists(
    st.binary(min_size=1, max_size=20)
    .map(lambda row: row.replace(b"\n", b"\\n") + b"\n")
    .filter(lambda row: row != b"\\.\n"),
    unique=True,
)
HEAD = [b"--\n", b"\\restrict abc\n", b"SET statement_timeout = 0;\n", b"\n"]
COPY = b"COPY public.%b (a, b) FROM stdin;\n"


def tally(rows: list[bytes]) -> TableContent:
    counted = Tally()
    for row in rows:
        counted.add(row)
    return counted.content()


@given(ROWS, st.randoms(use_true_random=False))
def test_content_is_the_same_in_any_order(rows: list[bytes], rng: random.Random) -> None:
    """A server gives rows in the order in which it finds them."""
    shuffled = rng.sample(rows, len(rows))

    assert tally(rows) == tally(shuffled)


@given(ROWS.filter(bool), st.data())
def test_content_differs_when_a_row_does(rows: list[bytes], data: st.DataObject) -> None:
    """One that is missing, doubled or changed is seen."""
    at = data.draw(st.integers(0, len(rows) - 1))
    rest = [*rows[:at], *rows[at + 1 :]]

    assert tally(rows) not in {
        tally(rest),
        tally([*rows, rows[at]]),
        tally([*rest, b"x" + rows[at]]),
    }


@given(ROWS, ROWS)
def test_script_of_a_dump_holds_the_rows_of_each_table(
    some: list[bytes], others: list[bytes]
) -> None:
    """Whatever stands in a row, also what looks like SQL or like a comment."""
    script = [*HEAD, COPY % b"facts", *some, b"\\.\n", b"\n", COPY % b'"events"', *others, b"\\.\n"]

    found = tally_script(iter([*script, b"\n", b"SELECT 1;\n"]))

    assert {"facts": tally(some), "events": tally(others)} == found


def test_script_says_only_what_a_server_understands() -> None:
    """Settings of the session and words for psql alone are left out, statements are not."""
    lines = [
        *HEAD,
        b"CREATE TABLE public.t (\n",
        b"    a integer\n",
        b");\n",
        b"\\unrestrict abc\n",
    ]

    (part,) = split_script(iter(lines))

    assert part.table is None
    assert b"CREATE TABLE public.t (\n    a integer\n);" == part.statement.strip()
