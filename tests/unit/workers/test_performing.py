"""Who has the floor while a flow runs, and who has it while a model answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never, cast

import httpx2

from pipelines.adapters.floor import floor
from pipelines.adapters.openai_client import post_json
from pipelines.errors import StoreUnavailable
from workers.performing import perform

if TYPE_CHECKING:
    from openai import OpenAI


class Listening:
    """A client of a model that notes who has the floor when it is asked."""

    had_floor: bool | None = None

    def post(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - of another type each time
        self.had_floor = floor.is_mine
        return httpx2.Response(200, content=b"{}")


def test_flow_has_the_floor_from_its_beginning_and_gives_it_up_when_it_fails() -> None:
    had: list[bool] = []

    def find_container() -> Never:
        had.append(floor.is_mine)
        raise StoreUnavailable("away")

    perform("distill", find_container, lambda _: cast("Any", None))
    assert [True] == had
    assert not floor.is_mine


def test_who_asks_a_model_leaves_the_floor_until_it_has_answered() -> None:
    client = Listening()
    with floor.taken():
        answer = post_json(cast("OpenAI", client), "/x", {}, httpx2.Timeout(1))
        has_floor = floor.is_mine
    assert (b"{}", False, True) == (answer, client.had_floor, has_floor)
