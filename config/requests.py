"""How much may be asked of one process of the API at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.rates import RatePolicy


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """What an API takes on before it asks to wait.

    All of it holds for one process: with several of them, for each.

    Attributes:
        in_flight: Requests that are answered at the same time; health is answered beyond it.
        tenant_in_flight: The same for one tenant, so that none takes the place of all others.
        rates: Requests a minute, by tenant.
        max_body_bytes: Of a request; routes that take more say so in ``workers.bodies``.
    """

    in_flight: int = 512
    tenant_in_flight: int = 256
    rates: RatePolicy = field(default_factory=RatePolicy)
    max_body_bytes: int = 8 * 1024 * 1024
