"""Processes: Celery application, HTTP API, command line, embedded stack."""
