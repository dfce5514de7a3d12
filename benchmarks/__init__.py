"""Figures of memstill on data sets of your own: ``python -m benchmarks.NAME``."""
