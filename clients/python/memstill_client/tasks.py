"""Tasks in steps that are gone on with after a crash where they were.

::

    task = ResumableTask(memstill, "alice", "import-7")
    rows = task.step("read", lambda step: read_rows())
    task.step("charge", lambda step: charge(len(rows), idempotency_key=step.key))

The result of each step is saved before the next one begins. Run the same again after a crash:
steps that were completed give their kept result and are not called; the one that was cut off is
called again, with the same key as before. Give that key to whatever the step has an effect on,
and the effect happens once: the same request to a payment service, the same primary key in a
table. No library can do this part: between an effect and the note that it happened there always
is a moment in which a process can die.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4, uuid5

from memstill_client.checkpoint_calls import keepable
from memstill_client.errors import CheckpointConflict, NotFound, Refused

if TYPE_CHECKING:
    from memstill_client.aio import AsyncMemstill
    from memstill_client.checkpoint_replies import LoadedCheckpoint
    from memstill_client.sync import Memstill

SCHEMA_VERSION: Final = 1
BEGUN: Final = "begun"


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is being taken.

    Attributes:
        key: The same whenever this step of this task is called, and that of no other.
    """

    name: str
    key: str


Action = Callable[[Step], Any]
AsyncAction = Callable[[Step], Awaitable[Any]]


@dataclass(slots=True)
class _Progress:
    """What has been done, and on which checkpoint that is noted."""

    task: UUID
    results: dict[str, Any]
    parent: UUID | None

    @classmethod
    def begin(cls) -> _Progress:
        return cls(uuid4(), {}, None)

    @classmethod
    def resume(cls, found: LoadedCheckpoint) -> _Progress:
        state = found.state
        if not isinstance(state, dict) or state.get("schema_version") != SCHEMA_VERSION:
            raise Refused(
                "invalid_request",
                "thread_id",
                f"names a thread that holds no task of version {SCHEMA_VERSION}; name another one, "
                "or let the release that has begun it end it",
            )
        return cls(UUID(state["task"]), dict(state["results"]), found.newest)

    def state(self, more: Mapping[str, object] | None = None) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "task": str(self.task),
            "results": {**self.results, **(more or {})},
        }

    def offer(self, name: str) -> Step:
        return Step(name, str(uuid5(self.task, name)))


class _Names:
    """Of the steps that were taken in this run: one that comes twice is a mistake in the task."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def check(self, name: str) -> None:
        if name in self._taken:
            raise ValueError(f"step {name!r} was taken before: name each step once, or number them")

    def note(self, name: str) -> None:
        self._taken.add(name)


class ResumableTask:
    """A task that blocks; threads may take steps of it at the same time.

    Two processes that run one task do not mix up its results: the one that saves second is
    refused (``CheckpointConflict``), and the keys of the steps are the same in both.

    Args:
        memstill: Not closed by the task.
        user_id: Whose task.
        thread_id: Names the task: who runs it again names the same one.
        sound: If its newest checkpoint is damaged, go on from the newest sound one: the steps
            since are called again, with the same keys.
    """

    def __init__(
        self, memstill: Memstill, user_id: str, thread_id: str, *, sound: bool = False
    ) -> None:
        self._checkpoints = memstill.checkpoints
        self._thread = (user_id, thread_id)
        self._sound = sound
        self._names = _Names()
        self._lock = threading.RLock()
        self._progress: _Progress | None = None

    def completed(self) -> Mapping[str, Any]:
        """The results of the steps that are completed, by their names."""
        return dict(self._open().results)

    def step(self, name: str, action: Action) -> Any:  # noqa: ANN401 - JSON of the caller's
        """Take a step, or give the result that was kept of it.

        Args:
            name: Of this step alone, the same in each run.
            action: Is given the step. What it returns is kept as JSON, and given back as that
                also the first time: a tuple becomes a list.

        Raises:
            CheckpointConflict: Another process runs this task.
            Refused: What the action returned is no JSON; its effect may have happened.
            Unavailable: It is not known whether the result was kept: take the step again.
        """
        self._names.check(name)
        progress = self._open()
        if name not in progress.results:
            self._save(name, keepable(name, action(progress.offer(name))))
        self._names.note(name)
        return self._open().results[name]

    def _open(self) -> _Progress:
        with self._lock:
            if self._progress is None:
                self._progress = self._find() or self._begin()
            return self._progress

    def _find(self) -> _Progress | None:
        try:
            return _Progress.resume(self._checkpoints.load(*self._thread, sound=self._sound))
        except NotFound:
            return None

    def _begin(self) -> _Progress:
        """Note the task before its first step: the keys hang on it."""
        progress = _Progress.begin()
        try:
            saved = self._checkpoints.save(*self._thread, progress.state(), node=BEGUN, parent=None)
        except CheckpointConflict:
            found = self._find()
            if found is None:
                raise
            return found
        progress.parent = saved.id
        return progress

    def _save(self, name: str, result: object) -> None:
        with self._lock:
            progress = self._open()
            # Read anew only after a save of which nothing is known; until it ends well.
            self._progress = None
            if name not in progress.results:
                saved = self._checkpoints.save(
                    *self._thread,
                    progress.state({name: result}),
                    node=name,
                    parent=progress.parent,
                )
                progress.results[name], progress.parent = result, saved.id
            self._progress = progress


class AsyncResumableTask:
    """``ResumableTask`` for asynchronous code: arguments, results and errors are the same."""

    def __init__(
        self, memstill: AsyncMemstill, user_id: str, thread_id: str, *, sound: bool = False
    ) -> None:
        self._checkpoints = memstill.checkpoints
        self._thread = (user_id, thread_id)
        self._sound = sound
        self._names = _Names()
        self._lock = asyncio.Lock()
        self._progress: _Progress | None = None

    async def completed(self) -> Mapping[str, Any]:
        """See ``ResumableTask.completed``."""
        async with self._lock:
            return dict((await self._open()).results)

    async def step(self, name: str, action: AsyncAction) -> Any:  # noqa: ANN401 - the caller's JSON
        """See ``ResumableTask.step``."""
        self._names.check(name)
        async with self._lock:
            progress = await self._open()
        if name not in progress.results:
            result = keepable(name, await action(progress.offer(name)))
            async with self._lock:
                await self._save(name, result)
        self._names.note(name)
        async with self._lock:
            return (await self._open()).results[name]

    async def _open(self) -> _Progress:
        if self._progress is None:
            self._progress = await self._find() or await self._begin()
        return self._progress

    async def _find(self) -> _Progress | None:
        try:
            found = await self._checkpoints.load(*self._thread, sound=self._sound)
        except NotFound:
            return None
        return _Progress.resume(found)

    async def _begin(self) -> _Progress:
        progress = _Progress.begin()
        try:
            saved = await self._checkpoints.save(
                *self._thread, progress.state(), node=BEGUN, parent=None
            )
        except CheckpointConflict:
            found = await self._find()
            if found is None:
                raise
            return found
        progress.parent = saved.id
        return progress

    async def _save(self, name: str, result: object) -> None:
        progress = await self._open()
        self._progress = None
        if name not in progress.results:
            saved = await self._checkpoints.save(
                *self._thread,
                progress.state({name: result}),
                node=name,
                parent=progress.parent,
            )
            progress.results[name], progress.parent = result, saved.id
        self._progress = progress
