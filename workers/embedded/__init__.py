"""Redis, PostgreSQL and the workers as children of one command, with nothing to install."""

from __future__ import annotations
