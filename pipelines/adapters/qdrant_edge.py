"""The vector index inside this process: a Qdrant shard on disk, for one machine and one process."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from qdrant_edge import (
    CountRequest,
    EdgeShard,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
    UpdateOperation,
)

from pipelines.adapters.collection import (
    SCANNED_FIELDS,
    check_sole_model,
    collection_name,
    first_behind,
    group_by_version,
    group_removals,
    merge_hits,
    plain_name,
    read_scanned,
    successor_name,
)
from pipelines.adapters.edge_requests import (
    LAYOUT_FIELD,
    id_of,
    index_fields,
    make_config,
    near_request,
    not_newer_than,
    only_among,
    owned_by,
    removal_of,
    search_legs,
    to_point,
    visible_to,
)
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.ports import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from pipelines.model import MemoryId, Owner, Vector
    from pipelines.ports import Hit, IndexedPoint, IndexPoint, Removal

log = structlog.get_logger(__name__)

_PREFIX = "memstill"
_CONFIG_FILE = "edge_config.json"
# A file that names the folder of the shard that answers, once that is not the first one.
_POINTER_SUFFIX = ".live"

# The engine rewrites its file when a fifth of it is dead, else it does nothing; 1.3 s for
# 20,000 vectors. Asked for this often it is bounded, and no schedule is needed.
_CHANGES_BETWEEN_VACUUMS = 5_000
_LONGEST_CALL_SECONDS = 30.0


class _OpenShard:
    """A shard with the calls that are under way on it."""

    def __init__(self, shard: EdgeShard, folder: Path) -> None:
        self.shard = shard
        self.folder = folder
        self._changes = 0
        self._calls = 0
        self._idle = threading.Condition()

    def enter(self) -> None:
        with self._idle:
            self._calls += 1

    def leave(self) -> None:
        with self._idle:
            self._calls -= 1
            self._idle.notify_all()

    def vacuum_sometimes(self, changes: int) -> None:
        with self._idle:
            self._changes += changes
            is_due = self._changes >= _CHANGES_BETWEEN_VACUUMS
            if is_due:
                self._changes = 0
        if is_due:
            self.shard.optimize()

    def close(self) -> None:
        """Close it when the calls that are under way have ended; nobody may begin another."""
        with self._idle:
            self._idle.wait_for(lambda: not self._calls, _LONGEST_CALL_SECONDS)
        with _translated():
            self.shard.flush()
            self.shard.close()


class EdgeCollection:
    """One shard in a folder of its own.

    Writes go through its write-ahead log, so they survive the death of the process without a
    flush. One process holds a folder at a time.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._opened: _OpenShard | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Open the shard, or create it.

        Raises:
            ConfigurationError: Another process holds the folder, or it is unusable.
        """
        if self._opened is not None:
            return
        with self._opening():
            shard = self._open()
            points = shard.info().points_count
        self._opened = _OpenShard(shard, self._folder)
        log.info("index_opened", collection=self._folder.name, points=points)

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        with self._using() as opened:
            shard = opened.shard
            for version, points in group_by_version(upserts):
                shard.update(
                    UpdateOperation.upsert_points(
                        [to_point(point) for point in points], condition=not_newer_than(version)
                    )
                )
            for decided_at, keys in group_removals(removals).items():
                shard.update(removal_of(decided_at, keys))
            opened.vacuum_sometimes(len(upserts) + len(removals))

    def remove_owner(self, owner: Owner) -> None:
        with self._using() as opened:
            opened.shard.update(UpdateOperation.delete_points_by_filter(owned_by(owner)))

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        first = first_behind(after)
        if first is None:
            return []
        request = ScrollRequest(first, limit, with_payload=list(SCANNED_FIELDS))
        with self._using() as opened:
            found, _ = opened.shard.scroll(request)
        return [read_scanned(record.id, record.payload or {}) for record in found]

    def is_empty(self) -> bool:
        with self._using() as opened:
            return not opened.shard.count(CountRequest(exact=True))

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        visible = visible_to(owner, session_id, as_of)
        dense, lexical = search_legs(owner, visible, vector, text, limit)
        with self._using() as opened:
            if lexical is None:
                return merge_hits(_ask(opened.shard, [dense])[0], {})
            cosines, weights = _ask(opened.shard, [dense, lexical])
            # Each leg then scores what only the other one found: cheaper than to search twice.
            cosines |= _ask_about(opened.shard, dense, weights.keys() - cosines)
            weights |= _ask_about(opened.shard, lexical, cosines.keys() - weights)
        return merge_hits(cosines, weights)

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        requests = [near_request(owner, vector, limit, min_cosine) for vector in vectors]
        with self._using() as opened:
            answers = opened.shard.query_batch(QueryBatchRequest(requests))
        return [[id_of(point) for point in answer] for answer in answers]

    def count(self, owner: Owner) -> int:
        with self._using() as opened:
            return opened.shard.count(CountRequest(exact=True, filter=owned_by(owner)))

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def exists(self) -> bool:
        """Whether there is a shard in the folder."""
        return (self._folder / _CONFIG_FILE).exists()

    @contextmanager
    def _using(self) -> Iterator[_OpenShard]:
        with self._lock:
            opened = self._opened
            if opened is None:
                raise IndexUnavailable("the index is not open")
            opened.enter()
        try:
            with _translated():
                yield opened
        finally:
            opened.leave()

    def _open(self) -> EdgeShard:
        shard = self._load() if self.exists() else None
        if shard is None:
            shard = EdgeShard.create(str(self._folder), make_config(self._size))
        index_fields(shard)
        shard.optimize()
        return shard

    def _load(self) -> EdgeShard | None:
        """The shard as it lies there; one of an earlier layout is removed instead."""
        shard = EdgeShard.load(str(self._folder), make_config(self._size))
        info = shard.info()
        if not info.points_count or LAYOUT_FIELD in info.payload_schema:
            return shard
        shard.close()
        shutil.rmtree(self._folder)
        log.warning("old_index_dropped", collection=self._folder.name, points=info.points_count)
        return None

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            with _translated():
                yield
        except IndexUnavailable as error:
            if "WouldBlock" in str(error.__cause__):
                raise ConfigurationError(
                    f"another process holds the index {self._folder}: stop it, or let both use "
                    "one Qdrant server or pgvector (MEMSTILL_INDEX_URL)"
                ) from error
            raise ConfigurationError(
                f"the index {self._folder} cannot be opened ({error.__cause__}): make the folder"
                " writable, or move it away to start with an empty index"
            ) from error


class EdgeIndex(EdgeCollection):
    """Qdrant Edge: the engine of the server without a server.

    Args:
        path: Folder of all collections; this one lies in a folder of its name below, or in the
            one that took its place.
    """

    def __init__(self, path: Path, model: str, size: int) -> None:
        self._root = path
        self._name = collection_name(_PREFIX, model, size)
        self._successors: dict[str, EdgeCollection] = {}
        super().__init__(path / self._name, size)

    def prepare(self) -> None:
        """Open the collection, or create it.

        Raises:
            EmbeddingMismatch: The folder was filled by another embedding model.
            ConfigurationError: Another process holds the folder, or it is unusable.
        """
        self._make_root()
        check_sole_model(self._name, map(plain_name, self._folders()))
        if self._opened is None:
            self._folder = self._root / self._live_name()
        super().prepare()

    def close(self) -> None:
        for token in list(self._successors):
            self._successors.pop(token).close()
        super().close()

    def tend(self) -> int:
        return 0  # to make a graph would stop every search

    def successor(self, token: str) -> EdgeCollection:
        name = successor_name(self._name, token)
        with self._lock:
            if self._folder.name == name:  # it is the live one by now, and open
                return self
            if token not in self._successors:
                made = EdgeCollection(self._root / name, self._size)
                if not made.exists():
                    return made
                made.prepare()
                self._successors[token] = made
            return self._successors[token]

    def make_successor(self, token: str) -> bool:
        found = self.successor(token)
        if found.exists():
            return False
        found.prepare()
        with self._lock:
            self._successors[token] = found
        return True

    def is_switched(self, token: str) -> bool:
        return self._live_name() == successor_name(self._name, token)

    def switch(self, token: str) -> None:
        successor = self.successor(token)
        with successor._using() as opened:  # noqa: SLF001 - of the same class
            opened.shard.flush()
            self._point_to(opened.folder)
            with self._lock:
                before, self._opened = self._opened, opened
                self._folder = opened.folder
                del self._successors[token]
        if before is not None:
            before.close()
        log.info("index_switched", collection=self._folder.name)

    def drop_leftovers(self, keep: str | None) -> int:
        kept = {self._live_name(), "" if keep is None else successor_name(self._name, keep)}
        left = [
            name for name in self._folders() if plain_name(name) == self._name and name not in kept
        ]
        for name in left:
            self._forget(name)
            shutil.rmtree(self._root / name)
            log.info("collection_dropped", collection=name)
        return len(left)

    def _forget(self, name: str) -> None:
        with self._lock:
            token = name.removeprefix(f"{self._name}.")
            successor = self._successors.pop(token, None)
        if successor is not None:
            successor.close()

    def _folders(self) -> list[str]:
        return [item.parent.name for item in self._root.glob(f"*/{_CONFIG_FILE}")]

    def _live_name(self) -> str:
        pointer = self._pointer
        return pointer.read_text(encoding="utf-8") if pointer.exists() else self._name

    @property
    def _pointer(self) -> Path:
        return self._root / f"{self._name}{_POINTER_SUFFIX}"

    def _point_to(self, folder: Path) -> None:
        """Written aside and renamed: whenever the process dies, it names one of the two."""
        fresh = self._pointer.with_suffix(".fresh")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(folder.name)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._pointer)

    def _make_root(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the index folder {self._root} cannot be made ({error.strerror}): name a "
                "writable one in MEMSTILL_INDEX_URL"
            ) from error


def _ask(shard: EdgeShard, requests: list[QueryRequest]) -> list[dict[MemoryId, float]]:
    answers = shard.query_batch(QueryBatchRequest(requests))
    return [{id_of(point): point.score for point in answer} for answer in answers]


def _ask_about(
    shard: EdgeShard, leg: QueryRequest, keys: Collection[MemoryId]
) -> dict[MemoryId, float]:
    return _ask(shard, [only_among(leg, keys)])[0] if keys else {}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The engine raises plain ``Exception`` for whatever goes wrong, and nothing narrower.
        if type(error) is not Exception:
            raise
        raise IndexUnavailable("Qdrant Edge refused an operation") from error
