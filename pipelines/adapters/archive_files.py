"""Files of users in an archive: lines of JSON, compressed, each with a manifest beside it.

The folders are named by hashes, so that all files of a user are found, and none is told whose it
is by its name. A manifest is written after its file has been read back, and deleted before it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from pipelines.adapters.compressed import pack_lines, unpack_lines
from pipelines.errors import ArchiveUnavailable, DamagedArchive, NotFound, StoreRefused
from pipelines.formats import ARCHIVED
from pipelines.model import Owner
from pipelines.ports import ArchivedFile, ArchivedKind, Portion, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipelines.model import MemoryId
    from pipelines.ports import Archive

_MANIFEST, _DATA = ".manifest.json", ".jsonl.zst"
_SHORT = 16
_REMEDY = "have it back from a copy, then try again"


class ArchivedFiles:
    """``ArchiveFiles`` over an ``Archive``."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def write(self, portion: Portion, now: datetime) -> ArchivedFile | None:
        held = self._read_held(portion)
        kept = [line for line in portion.lines if line not in held]
        if not kept:
            return None
        content = pack_lines(kept)
        file = _describe(portion, kept, content, now)
        self._archive.put(file.key, content)
        if self._archive.get(file.key) != content:
            raise ArchiveUnavailable("the archive does not give back what was put into it")
        manifest = orjson.dumps(spell_manifest(file))
        self._archive.put(_manifest_of(file.key), manifest)
        return file

    def list_files(self, owner: Owner) -> list[ArchivedFile]:
        return self._list(folder_of(owner))

    def list_tenant(self, tenant_id: str) -> list[ArchivedFile]:
        return self._list(_tenant_folder(tenant_id))

    def read(self, file: ArchivedFile) -> list[bytes]:
        content = self._get(file)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise DamagedArchive(
                f"{file.key} in the archive is not what its manifest says: {_REMEDY}"
            )
        return unpack_lines(content)

    def delete(self, file: ArchivedFile) -> None:
        self._archive.delete([_manifest_of(file.key)])
        self._archive.delete([file.key])

    def remove_user(self, owner: Owner) -> int:
        keys = self._archive.list(folder_of(owner))
        self._archive.delete(keys)
        return sum(key.endswith(_DATA) for key in keys)

    def remove_session(self, owner: Owner, session_id: str, ids: Collection[MemoryId]) -> int:
        removed = 0
        unfinished = self._find_unfinished(owner)
        self._archive.delete([key for key, lines in unfinished.items() if lines is None])
        read = {file.key: (file, self.read(file)) for file in self.list_files(owner)}
        tainted = _find_tainted((line for _, lines in read.values() for line in lines), session_id)
        tainted |= set(map(str, ids))
        self._archive.delete(
            [key for key, lines in unfinished.items() if _is_to_go(lines, session_id, tainted)]
        )
        for file, lines in read.values():
            kept = [line for line in lines if not _is_of(line, session_id, tainted)]
            if len(kept) == len(lines):
                continue
            portion = Portion(file.kind, file.owner, tuple(kept), (), file.first, file.last)
            self._replace(file, portion)
            removed += len(lines) - len(kept)
        return removed

    def count_left(self, owner: Owner, session_id: str | None, ids: Collection[MemoryId]) -> int:
        if session_id is None:
            return len(self._archive.list(folder_of(owner)))
        unfinished = self._find_unfinished(owner)
        files = [
            file for file in self.list_files(owner) if _manifest_of(file.key) not in unfinished
        ]
        lines = [line for file in files for line in self.read(file)]
        tainted = _find_tainted(lines, session_id) | set(map(str, ids))
        left = sum(_is_to_go(found, session_id, tainted) for found in unfinished.values())
        return left + sum(_is_of(line, session_id, tainted) for line in lines)

    def _get(self, file: ArchivedFile) -> bytes:
        try:
            return self._archive.get(file.key)
        except NotFound:
            raise ArchiveUnavailable(
                f"{file.key} is not in the archive any more, and its manifest is: try again"
            ) from None

    def _list(self, folder: str) -> list[ArchivedFile]:
        keys = [key for key in self._archive.list(folder) if key.endswith(_MANIFEST)]
        found = [self._read_manifest(key) for key in keys]
        return sorted(
            (file for file in found if file is not None),
            key=lambda file: (file.owner, file.kind, file.first),
        )

    def _read_manifest(self, key: str) -> ArchivedFile | None:
        try:
            content = self._archive.get(key)
        except NotFound:
            return None  # it was deleted since it was listed
        try:
            return read_manifest(orjson.loads(content))
        except (ValueError, LookupError, TypeError) as error:
            raise DamagedArchive(f"{key} in the archive is no manifest: {_REMEDY}") from error

    def _read_held(self, portion: Portion) -> set[bytes]:
        """What of these rows was archived before: they had been put back, or a crash was."""
        return {
            line
            for file in self.list_files(portion.owner)
            if file.kind is portion.kind
            and file.first <= portion.last
            and portion.first <= file.last
            for line in self.read(file)
        }

    def _replace(self, file: ArchivedFile, portion: Portion) -> None:
        if portion.lines:
            content = pack_lines(portion.lines)
            fresh = _describe(portion, portion.lines, content, file.written_at)
            self._archive.put(fresh.key, content)
            self._archive.put(_manifest_of(fresh.key), orjson.dumps(spell_manifest(fresh)))
        self.delete(file)

    def _find_unfinished(self, owner: Owner) -> dict[str, list[bytes] | None]:
        """The lines of what has no manifest: a writer has it in hand, or was stopped over it.

        None where they cannot be read, as with a draft, or a manifest whose file is gone: nobody
        rests on those.
        """
        keys = set(self._archive.list(folder_of(owner)))
        found: dict[str, list[bytes] | None] = {}
        for key in sorted(keys):
            if key.endswith(_MANIFEST):
                data = _data_of(key)
                # It may have been written since the other was listed.
                if data not in keys and self._try_get(data) is None:
                    found[key] = None
            elif _manifest_of(key) not in keys:
                content = self._try_get(key) if key.endswith(_DATA) else None
                found[key] = None if content is None else _try_unpack(content)
        return found

    def _try_get(self, key: str) -> bytes | None:
        try:
            return self._archive.get(key)
        except NotFound:
            return None


def folder_of(owner: Owner) -> str:
    """Where the files of a user are."""
    return f"{_tenant_folder(owner.tenant_id)}/{Subject(owner).key}"


def spell_manifest(file: ArchivedFile) -> dict[str, Any]:
    """The manifest of a file."""
    return {
        "schema_version": ARCHIVED.version,
        "key": file.key,
        "kind": file.kind.value,
        "tenant_id": file.owner.tenant_id,
        "user_id": file.owner.user_id,
        "rows": file.rows,
        "size": file.size,
        "sha256": file.sha256,
        "first": file.first,
        "last": file.last,
        "written_at": file.written_at,
    }


def read_manifest(value: dict[str, Any]) -> ArchivedFile:
    """The same again.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    ARCHIVED.check(value["schema_version"])
    return ArchivedFile(
        key=value["key"],
        kind=ArchivedKind(value["kind"]),
        owner=Owner(value["tenant_id"], value["user_id"]),
        rows=value["rows"],
        size=value["size"],
        sha256=value["sha256"],
        first=value["first"],
        last=value["last"],
        written_at=datetime.fromisoformat(value["written_at"]),
    )


def _describe(
    portion: Portion, lines: Collection[bytes], content: bytes, now: datetime
) -> ArchivedFile:
    digest = hashlib.sha256(content).hexdigest()
    name = f"{portion.first}-{portion.last}-{digest[:_SHORT]}{_DATA}"
    return ArchivedFile(
        key=f"{folder_of(portion.owner)}/{portion.kind}/{name}",
        kind=portion.kind,
        owner=portion.owner,
        rows=len(lines),
        size=len(content),
        sha256=digest,
        first=portion.first,
        last=portion.last,
        written_at=now,
    )


def _tenant_folder(tenant_id: str) -> str:
    return hashlib.sha256(tenant_id.encode()).hexdigest()


def _manifest_of(key: str) -> str:
    return key.removesuffix(_DATA) + _MANIFEST


def _data_of(manifest: str) -> str:
    return manifest.removesuffix(_MANIFEST) + _DATA


def _try_unpack(content: bytes) -> list[bytes] | None:
    try:
        return unpack_lines(content)
    except StoreRefused:
        return None


def _is_to_go(lines: list[bytes] | None, session_id: str, tainted: set[str]) -> bool:
    """Whether an unfinished file is in the way of an erasure.

    One of other rows may be finished at this moment, and the rows be deleted after that.
    """
    if lines is None:
        return True
    known = tainted | _find_tainted(lines, session_id)
    return any(_is_of(line, session_id, known) for line in lines)


def _find_tainted(lines: Iterable[bytes], session_id: str) -> set[str]:
    """The memories that cite a session anywhere."""
    return {
        row["memory_id"]
        for row in map(orjson.loads, lines)
        if "memory_id" in row and _cites(row["body"], session_id)
    }


def _cites(body: dict[str, Any], session_id: str) -> bool:
    cited = (*body.get("added", ()), *body.get("released", ()))
    return any(item["session_id"] == session_id for item in cited)


def _is_of(line: bytes, session_id: str, tainted: Collection[str]) -> bool:
    row = orjson.loads(line)
    if "memory_id" in row:
        return row["memory_id"] in tainted
    return bool(row["session_id"] == session_id)
