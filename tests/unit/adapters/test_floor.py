"""Who has the floor: one at a time, in order, and nobody for ever."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from pipelines.adapters.floor import Floor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 10.0


class Crowd:
    """Threads at a floor, each stopped where the test wants it."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.spoke: list[str] = []
        self._threads = ThreadPoolExecutor(16)

    def come(self, name: str) -> Callable[[], None]:
        """One takes the floor, and has it until the answer is called."""
        enough = threading.Event()

        def speak() -> None:
            with self.floor.taken():
                self.spoke.append(name)
                assert enough.wait(SECONDS)

        done = self._threads.submit(speak)

        def end() -> None:
            enough.set()
            done.result(SECONDS)

        return end

    def step_out(self, name: str) -> Callable[[], None]:
        """One takes it and leaves it; he comes back when the answer is called."""
        outside, back = threading.Event(), threading.Event()

        def speak() -> None:
            with self.floor.taken():
                with self.floor.left():
                    outside.set()
                    assert back.wait(SECONDS)
                self.spoke.append(name)

        self._threads.submit(speak)
        assert outside.wait(SECONDS)
        return back.set

    def end(self) -> None:
        self._threads.shutdown()


@pytest.fixture
def floor() -> Floor:
    return Floor(stuck_seconds=10 * SECONDS)


@pytest.fixture
def crowd(floor: Floor) -> Iterator[Crowd]:
    made = Crowd(floor)
    yield made
    made.end()


@retry(
    retry=retry_if_result(lambda is_so: not is_so),
    stop=stop_after_delay(SECONDS),
    wait=wait_fixed(0.002),
)
def until(is_so: Callable[[], bool]) -> bool:
    return is_so()


def in_line(floor: Floor) -> int:
    return len(floor._coming) + len(floor._coming_back)


def test_who_takes_it_has_it_until_the_end_of_the_block(floor: Floor) -> None:
    """An inner block takes nothing, and gives nothing up."""
    had = [floor.is_mine]
    with floor.taken():
        with floor.taken():
            had.append(floor.is_mine)
        had.append(floor.is_mine)
        with floor.left():
            had.append(floor.is_mine)
        had.append(floor.is_mine)
    had.append(floor.is_mine)
    assert [False, True, True, False, True, False] == had


def test_who_has_not_taken_it_has_none_to_leave(floor: Floor) -> None:
    with floor.left():
        assert not floor.is_mine
    with floor.taken():
        assert floor.is_mine


def test_one_speaks_after_the_other_in_the_order_in_which_they_came(
    floor: Floor, crowd: Crowd
) -> None:
    first = crowd.come("a")
    until(lambda: crowd.spoke == ["a"])
    second = crowd.come("b")
    until(lambda: in_line(floor) == 1)
    third = crowd.come("c")
    until(lambda: in_line(floor) == 2)
    assert ["a"] == crowd.spoke
    first()
    until(lambda: crowd.spoke == ["a", "b"])
    second()
    until(lambda: crowd.spoke == ["a", "b", "c"])
    third()


def test_who_comes_back_goes_before_those_who_have_not_begun(floor: Floor, crowd: Crowd) -> None:
    come_back = crowd.step_out("back")
    end_first = crowd.come("first")
    until(lambda: crowd.spoke == ["first"])
    end_new = crowd.come("new")
    until(lambda: in_line(floor) == 1)
    come_back()
    until(lambda: in_line(floor) == 2)
    end_first()
    until(lambda: len(crowd.spoke) == 3)
    assert ["first", "back", "new"] == crowd.spoke
    end_new()


def test_an_error_gives_it_up(floor: Floor, crowd: Crowd) -> None:
    with pytest.raises(KeyError), floor.taken(), floor.left():
        raise KeyError
    crowd.come("next")()
    assert ["next"] == crowd.spoke


def test_who_is_stuck_loses_it_to_one_after_the_other(crowd: Crowd) -> None:
    """Not to all at once, and he who lost it gives up nobody else's."""
    floor = crowd.floor = Floor(stuck_seconds=0.05)
    with ExitStack() as undo:
        end_stuck = crowd.come("stuck")
        until(lambda: crowd.spoke == ["stuck"])
        for name in "ab":
            undo.callback(crowd.come(name))
        until(lambda: len(crowd.spoke) == 3)
        end_stuck()
    assert not in_line(floor)
    crowd.come("last")()
    assert "last" == crowd.spoke[-1]


def test_who_lost_it_and_leaves_comes_back_in_line(crowd: Crowd) -> None:
    floor = crowd.floor = Floor(stuck_seconds=0.05)
    with floor.taken():
        end = crowd.come("next")
        until(lambda: crowd.spoke == ["next"])
        assert floor.is_mine, "as far as he knows"
        with floor.left():
            end()
        assert floor.is_mine
    crowd.come("last")()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), max_size=6), min_size=2, max_size=6),
)
def test_never_two_at_a_time_and_everybody_gets_through(turns: list[list[bool]]) -> None:
    """However they come, leave and come back; True stands for waiting outside."""
    floor = Floor(stuck_seconds=10 * SECONDS)
    speaking: list[int] = []
    most = 0

    def speak(me: int) -> None:
        nonlocal most
        speaking.append(me)
        time.sleep(0.0005)
        most = max(most, len(speaking))
        speaking.remove(me)

    def live(me: int) -> None:
        with floor.taken():
            for is_outside in turns[me]:
                if is_outside:
                    with floor.left():
                        threading.Event().wait(0.0005)
                else:
                    speak(me)

    with ThreadPoolExecutor(len(turns)) as threads:
        for done in [threads.submit(live, me) for me in range(len(turns))]:
            done.result(SECONDS)
    assert most <= 1
    assert floor._holder is None
