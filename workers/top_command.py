"""``memstill top``: how the work gets on, live."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import httpx2
import typer

from pipelines.errors import ConfigurationError
from workers.command_options import ApiUrl, AsJson, DataDir, out, print_json
from workers.embedded.endpoints import default_data_dir, read_endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.metrics.reading import Look
    from workers.top_view import Moment

TIMEOUT_SECONDS = 5.0


def top(
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, print what lies between, and end.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")
    ] = 2.0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="/metrics of another process; may be repeated."),
    ] = None,
    as_json: AsJson = False,
    data: DataDir = None,
    api: ApiUrl = None,
) -> None:
    """Show how the work gets on: queues, rates, times, what is away. Ctrl-C ends it.

    The API tells what waits, and what it does itself. Where workers are processes of their own,
    name the addresses at which they hand out their metrics.
    """
    url = api or read_endpoints(data or default_data_dir()).api_url
    urls = [f"{url.rstrip('/')}/metrics", *(metrics or ())]
    with httpx2.Client(timeout=TIMEOUT_SECONDS) as http:
        watch = _Watch(http, urls, interval)
        if as_json or once:
            _show_once(watch, as_json=as_json)
        else:
            _show_live(watch, url)


class _Watch:
    """Looks again and again; each moment lies between the last two looks."""

    def __init__(self, http: httpx2.Client, urls: Sequence[str], interval: float) -> None:
        self._http = http
        self._urls = urls
        self._interval = interval
        self._before, self._looked_at = self._look(), time.monotonic()

    def next(self) -> Moment:
        """Wait, look, and compare."""
        from workers.top_view import Moment

        time.sleep(self._interval)
        now, at = self._look(), time.monotonic()
        moment = Moment(now, now.since(self._before), at - self._looked_at)
        self._before, self._looked_at = now, at
        return moment

    def _look(self) -> Look:
        from workers.metrics.reading import read_look

        try:
            return read_look([self._ask(url) for url in self._urls])
        except ValueError as error:
            raise ConfigurationError(f"what answers does not hand out metrics: {error}") from None

    def _ask(self, url: str) -> str:
        # The key is the API's: no other process asks for one, or shall see it.
        key = os.environ.get("MEMSTILL_API_KEY") if url == self._urls[0] else None
        try:
            answer = self._http.get(url, headers={"Authorization": f"Bearer {key}"} if key else {})
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise ConfigurationError(
                f"nobody answers at {url} ({type(error).__name__}): check that it runs and that "
                "the address is right"
            ) from None
        if answer.status_code in {401, 403}:
            raise ConfigurationError(
                "MEMSTILL_API_KEY: metrics take an API key with the scope `operate`"
            )
        if answer.status_code != httpx2.codes.OK:
            raise ConfigurationError(f"{url} answers with {answer.status_code}: is it ready?")
        return answer.text


def _show_once(watch: _Watch, *, as_json: bool) -> None:
    from workers.top_view import as_data, top_sheet

    moment = watch.next()
    if as_json:
        print_json(as_data(moment))
    else:
        out.print(top_sheet(moment, f"memstill, over {moment.seconds:.1f} s"))


def _show_live(watch: _Watch, url: str) -> None:
    from rich.live import Live
    from rich.text import Text

    from workers.top_view import top_sheet

    with (
        suppress(KeyboardInterrupt),
        Live(console=out, screen=out.is_terminal, auto_refresh=False) as live,
    ):
        while True:
            try:
                title = f"memstill at {url}, {time.strftime('%H:%M:%S')}"
                shown = top_sheet(watch.next(), title)
            except ConfigurationError as error:
                # It may be back with the next look.
                shown = Text(str(error), style="red")
            live.update(shown, refresh=True)
