"""A deployment whose model answers as a test wants."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.endpoint import ScriptedEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.acceptance.deployment import Deployment
    from tests.endpoint import FactDict, Line


@contextmanager
def answering(
    deployment: Deployment, distil: Callable[[list[Line]], list[FactDict]]
) -> Iterator[ScriptedEndpoint]:
    """Workers that are started within ask an endpoint that distils in this way."""
    with ScriptedEndpoint(distil) as served:
        deployment.env["MEMSTILL_MODEL_BASE_URL"] = served.base_url
        yield served
