"""The API as a process of its own, for installations whose index admits several."""

from __future__ import annotations

from config.logs import configure_logs
from config.settings import Settings
from workers.api import make_server
from workers.container import close_container, current_container


def serve_api() -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: The settings do not fit what is stored.
    """
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    try:
        make_server(current_container()).run()
    finally:
        close_container()
