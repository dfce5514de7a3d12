"""``python -m tests.chaos``: push sessions while everything is killed, and check what is left."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from config.logs import configure_logs
from tests.chaos import report
from tests.chaos.campaign import run_campaign
from tests.chaos.plan import Plan

if TYPE_CHECKING:
    from types import FrameType


_USUAL = Plan(seed=0)


def main(words: list[str]) -> int:
    """Run a campaign; 0 if everything held, 1 if not."""
    options = _parse(words)
    signal.signal(signal.SIGTERM, _stop)
    configure_logs("error", "console")
    console, plan = Console(), _plan(options)
    folder = Path(tempfile.mkdtemp(prefix="memstill-chaos-"))
    began = time.monotonic()
    has_passed = False
    try:
        findings = run_campaign(
            plan,
            folder,
            lambda line: console.print(f"{time.monotonic() - began:7.1f} s  {line}", style="dim"),
        )
        has_passed = not findings.problems
        report.show(console, plan, findings)
        if options.report is not None:
            report.write(options.report, plan, findings)
    finally:
        _clear(folder, console, is_kept=options.keep or not has_passed)
    return 0 if has_passed else 1


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--sessions", type=int, default=_USUAL.sessions)
    parser.add_argument("--users", type=int, default=_USUAL.users)
    parser.add_argument("--faults", type=int, default=_USUAL.faults)
    parser.add_argument("--workers", type=int, default=_USUAL.workers)
    parser.add_argument(
        "--gap", type=float, default=_USUAL.fault_gap_seconds, help="seconds between faults"
    )
    parser.add_argument(
        "--drain", type=float, default=_USUAL.drain_seconds, help="seconds to become final"
    )
    parser.add_argument("--dataset", type=Path, help="folder of a data set: its sessions go first")
    parser.add_argument(
        "--no-reference", action="store_true", help="do not compare with a run without faults"
    )
    parser.add_argument("--report", type=Path, help="file for the findings as JSON")
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder also if everything held"
    )
    return parser.parse_args(words)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        seed=options.seed,
        sessions=options.sessions,
        users=options.users,
        faults=options.faults,
        workers=options.workers,
        fault_gap_seconds=options.gap,
        drain_seconds=options.drain,
        dataset=options.dataset,
        has_reference=not options.no_reference,
    )


def _clear(folder: Path, console: Console, *, is_kept: bool) -> None:
    if is_kept:
        console.print(f"servers' files and logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
