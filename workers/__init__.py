"""Processes: Celery application, HTTP API, command line, embedded stack."""

import os

# Read when numpy is first imported. Its products are small here: shared among threads they take
# longer, and ten times as much of the processor, which the threads spend waiting for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
