"""The words in which readiness is told, for those who ask and those who answer."""

READY, DEGRADED, NOT_READY = "ready", "degraded", "not_ready"
