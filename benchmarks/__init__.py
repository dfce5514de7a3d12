"""Figures of memstill on data sets of your own: ``python -m benchmarks.NAME``."""

import workers  # noqa: F401 - sets a process up as all of memstill's are
