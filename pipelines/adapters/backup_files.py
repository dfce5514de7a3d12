"""A backup as a file: a zip of the dump and of a manifest, which is written last."""

from __future__ import annotations

import os
import zipfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

from pipelines.errors import InputError
from pipelines.ports import Manifest, Moment, TableContent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST, DUMP = "manifest.json", "memstill.dump"
_PIECE = 1 << 20
_MOST_MANIFEST_BYTES = 1 << 20


class _Version(BaseModel):
    """What every version of the manifest has."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal["memstill-backup"]
    schema_version: int


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: NonNegativeInt
    digest: str


class _ManifestSchema(BaseModel):
    """``manifest.json``, version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["memstill-backup"] = "memstill-backup"
    schema_version: Literal[1] = 1
    memstill: str
    taken_at: AwareDatetime
    revision: str
    namespace: str
    server: int
    dumped_by: int
    dump_sha256: str
    unread: NonNegativeInt | None
    tables: dict[str, _Table]


@dataclass(frozen=True, slots=True)
class ZippedDump:
    """``Dump`` in a file that was read and found whole."""

    manifest: Manifest
    path: Path

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(self.path) as archive, archive.open(DUMP) as dump:
            yield dump


class ZipBackups:
    """``BackupFiles`` as zip files."""

    @contextmanager
    def draft(self, path: Path, *, replaces: bool) -> Iterator[ZippedDraft]:
        if path.is_dir() or (path.exists() and not replaces):
            raise InputError(str(path), "is there already; name another file, or add --replace")
        named = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            descriptor = os.open(named, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w+b") as file, closing(ZippedDraft(named, file)) as it:
                    yield it
                named.replace(path)
                _sync_folder(path.absolute().parent)
            finally:
                named.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(str(path), f"cannot be written: {error.strerror}") from error

    def read(self, path: Path) -> ZippedDump:
        return _read(path, str(path))


class ZippedDraft:
    """``Draft`` as a zip file without its directory yet."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        # What the dump is made of is compressed already.
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def keep(self, dump: IO[bytes]) -> str:
        digest = sha256()
        with self._archive.open(DUMP, "w", force_zip64=True) as member:
            while piece := dump.read(_PIECE):
                digest.update(piece)
                member.write(piece)
        return digest.hexdigest()

    def finish(self, manifest: Manifest) -> ZippedDump:
        written = _write_manifest(manifest).model_dump_json(indent=1)
        self._archive.writestr(MANIFEST, written, zipfile.ZIP_DEFLATED)
        self._archive.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        return _read(self._path, "the backup that was just written")

    def close(self) -> None:
        """Give up what is not finished."""
        self._archive.close()


def _read(path: Path, name: str) -> ZippedDump:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _read_manifest(archive, name)
            with archive.open(DUMP) as dump:
                digest = sha256()
                while piece := dump.read(_PIECE):
                    digest.update(piece)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError):
        raise _no_backup(name) from None
    except OSError as error:
        raise InputError(name, f"cannot be read: {error.strerror or 'it is damaged'}") from error
    if digest.hexdigest() != manifest.sha256:
        raise _no_backup(name)
    return ZippedDump(manifest, path)


def _no_backup(name: str) -> InputError:
    return InputError(
        name, "is no backup of memstill, or is cut off or damaged; nothing was changed"
    )


def _read_manifest(archive: zipfile.ZipFile, name: str) -> Manifest:
    if archive.getinfo(MANIFEST).file_size > _MOST_MANIFEST_BYTES:
        raise _no_backup(name)
    text = archive.read(MANIFEST)
    try:
        version = _Version.model_validate_json(text).schema_version
        if version > 1:
            raise InputError(
                name,
                f"is a backup of format {version}, and this memstill knows 1; restore it with "
                "the version that wrote it, or a newer one",
            )
        found = _ManifestSchema.model_validate_json(text)
    except ValidationError:
        raise _no_backup(name) from None
    return Manifest(
        Moment(found.taken_at, found.revision, found.namespace, found.server, found.dumped_by),
        found.memstill,
        found.dump_sha256,
        {name: TableContent(table.rows, table.digest) for name, table in found.tables.items()},
        found.unread,
    )


def _write_manifest(manifest: Manifest) -> _ManifestSchema:
    moment = manifest.moment
    return _ManifestSchema(
        memstill=manifest.memstill,
        taken_at=moment.taken_at,
        revision=moment.revision,
        namespace=moment.namespace,
        server=moment.server,
        dumped_by=moment.dumped_by,
        dump_sha256=manifest.sha256,
        unread=manifest.unread,
        tables={
            name: _Table(rows=table.rows, digest=table.digest)
            for name, table in manifest.tables.items()
        },
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
