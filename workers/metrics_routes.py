"""``/metrics`` on the API's own port, for operators: figures are of all tenants together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client.exposition import choose_encoder

from workers.callers import Operator
from workers.metrics.handing_out import make_registry

if TYPE_CHECKING:
    from workers.container import Container


def add_metrics_route(api: FastAPI, container: Container) -> None:
    """Add it to the application."""
    registry = make_registry(container.settings, with_stored=True)

    # Not described: it speaks the language of Prometheus, and not of the API.
    @api.get("/metrics", include_in_schema=False)
    def metrics(request: Request, caller: Operator) -> Response:
        del caller
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), media_type=media_type)
