"""What a year has come to, kept on disk: one that was interrupted goes on from there."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.year.campaign import Progress
    from tests.year.household import Plan
    from workers.embedded.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Keeper:
    """Copies what is in ``work`` to ``kept`` while nobody writes, and back.

    What Redis holds is not kept: after a night everything in it was written down, but for wake-ups
    and what may be forgotten.

    Args:
        folder: Has both. A copy takes the place of the one before when it is whole.
        postgres: Keeps its files below ``work``; stopped for the copy.
    """

    folder: Path
    plan: Plan
    postgres: PostgresServer

    def keep(self, progress: Progress) -> None:
        """Everything as it is now."""
        draft, kept, old = (self.folder / name for name in ("kept.new", "kept", "kept.old"))
        shutil.rmtree(draft, ignore_errors=True)
        self.postgres.stop()
        _copy(self.folder / "work", draft)
        self.postgres.start()
        (draft / "progress").write_bytes(pickle.dumps((self.plan, progress)))
        # The servers of a campaign do not wait for the disk; what is kept outlives the machine.
        os.sync()
        if kept.exists():
            shutil.rmtree(old, ignore_errors=True)
            kept.rename(old)
        draft.rename(kept)
        shutil.rmtree(old, ignore_errors=True)


def take_up(folder: Path, plan: Plan) -> Progress | None:
    """What was kept last is there again; None where nothing was.

    Raises:
        ValueError: It is of a year of other users or days.
    """
    work, kept, old = (folder / name for name in ("work", "kept", "kept.old"))
    if old.exists() and not kept.exists():
        old.rename(kept)
    for gone in (work, folder / "redis"):
        shutil.rmtree(gone, ignore_errors=True)
    if not kept.exists():
        work.mkdir(parents=True)
        return None
    # Nobody but this campaign writes there.
    begun, progress = pickle.loads((kept / "progress").read_bytes())
    if begun != plan:
        raise ValueError(f"in {folder} is a year of {begun}: go on with that, or use another one")
    _copy(kept, work)
    return progress  # type: ignore[no-any-return] # what was kept


def clear(folder: Path) -> None:
    """Take away what a year that is over has left there, and nothing else."""
    for name in ("work", "kept", "kept.new", "kept.old", "redis"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    # With its owner, whom PostgreSQL looks at.
    subprocess.run(["cp", "-a", source, target], check=True)
