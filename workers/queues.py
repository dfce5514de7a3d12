"""The names of tasks and queues: one queue for each kind of work, to be scaled apart."""

from __future__ import annotations

DISTILL = "memstill.distill"
CONSOLIDATE = "memstill.consolidate"
PROJECT = "memstill.project"
SWEEP = "memstill.sweep"

QUEUES = {DISTILL: "distill", CONSOLIDATE: "consolidate", PROJECT: "index", SWEEP: "sweep"}
