"""``python -m tests.upgrade --from REF``: from that commit to this tree, under load."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config.logs import configure_logs
from tests.chaos.plan import Plan
from tests.chaos.stack import REPOSITORY
from tests.upgrade.rollout import Findings, roll_out
from tests.upgrade.stack import NotReady
from tests.upgrade.trees import NoSuchTree, check_out, name_commit


def main(words: list[str]) -> int:
    """Roll out once; 0 if nothing was lost, doubled or held up."""
    options = _parse(words)
    configure_logs("error", "console")
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="memstill-upgrade-"))
    has_passed = False
    try:
        findings = _run(options, folder, console)
        _show(console, findings)
        has_passed = not findings.problems
    except (NoSuchTree, NotReady) as error:
        console.print(str(error), style="bold red", markup=False)
    finally:
        if has_passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"servers' files and logs are in {folder}")
    return 0 if has_passed else 1


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("--from", dest="ref", required=True, help="commit, tag or branch")
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0, help="over which they are pushed")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(words)


def _run(options: argparse.Namespace, folder: Path, console: Console) -> Findings:
    began = time.monotonic()
    old = check_out(REPOSITORY, options.ref, folder / "old")
    plan = Plan(
        seed=options.seed,
        sessions=options.sessions,
        users=options.users,
        faults=0,
        push_seconds=options.seconds,
    )
    console.print(f"from {name_commit(REPOSITORY, options.ref)} to this tree")
    return roll_out(
        plan,
        old,
        folder / "stack",
        lambda line: console.print(
            f"{time.monotonic() - began:7.1f} s  {line}", style="dim", markup=False
        ),
    )


def _show(console: Console, findings: Findings) -> None:
    table = Table(show_header=False)
    for name, value in findings.figures.items():
        table.add_row(name, value)
    console.print(table)
    for problem in findings.problems:
        console.print(f"violated: {problem}", style="bold red", markup=False, soft_wrap=True)
    if not findings.problems:
        console.print("everything held", style="bold")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
