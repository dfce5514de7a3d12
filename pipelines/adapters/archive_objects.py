"""An archive in an object store that speaks S3."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import S3Store

from pipelines.errors import ArchiveUnavailable, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from obstore.store import ObjectStore

_PATIENCE = timedelta(seconds=30)


class ObjectArchive:
    """``Archive`` in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, key: str, content: bytes) -> None:
        with _translated():
            self._store.put(key, content)

    def get(self, key: str) -> bytes:
        with _translated():
            try:
                return bytes(self._store.get(key).bytes())
            except FileNotFoundError:
                raise NotFound(f"the archive has no {key}") from None

    def list(self, folder: str) -> list[str]:
        with _translated():
            return sorted(item["path"] for page in self._store.list(folder) for item in page)

    def delete(self, keys: Collection[str]) -> None:
        with _translated():
            for key in keys:
                try:
                    self._store.delete(key)
                except FileNotFoundError:
                    continue


def open_s3(url: str) -> ObjectArchive:
    """The bucket of an address, and the folder in it: ``s3://bucket/folder``.

    Region, endpoint and credentials come from the environment, as for other programs: AWS_REGION,
    AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
    """
    retries = {"max_retries": 3, "retry_timeout": _PATIENCE}
    return ObjectArchive(S3Store.from_url(url, retry_config=retries))  # type: ignore[arg-type]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        # Not chained: the message quotes addresses and headers.
        raise ArchiveUnavailable(
            f"the archive does not answer as it should ({type(error).__name__}): check "
            "MEMSTILL_ARCHIVE_URL, its credentials and their rights"
        ) from None
