"""A form with a file that becomes an upload at once: its file goes to disk, its fields are left for the route."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from api.domain.sample import MOST_SAMPLE_BYTES
from api.domain.upload import Upload, UploadView
from api.errors import TooLarge
from api.util.base_path import BASE_PATH
from api.util.taken_body import FORM, SAID, TakenForm
from api.web.forms import FormReader
from api.web.incoming import Checksum, Incoming
from api.web.pouring import Pourer, sender_of
from api.web.taking import BodyRequest
from api.web.wsgi import WSGIAnswer


@dataclass(frozen=True, slots=True)
class TakenFile:
    """The file of a form: the names that its field may have, and its most bytes if that is less than of any upload."""

    fields: tuple[str, ...] = ("file",)
    most: int | None = None


#: The operations whose forms are taken.
FORM_UPLOADS = {
    f"POST {BASE_PATH}/preprocess/upload": TakenFile(("video", "file")),
    f"POST {BASE_PATH}/models/upload": TakenFile(),
    f"POST {BASE_PATH}/models/registry/<name>/versions/<version>/samples": TakenFile(most=MOST_SAMPLE_BYTES),
}

#: What surrounds a file in its form: boundaries, headers and texts.
_AROUND = 512 * 1024


class WholeUploads(Protocol):
    """What the shell needs of uploads that come in one request. Threads call it."""

    def begin_whole(self, at_least: int) -> Upload: ...
    def open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> Incoming: ...
    def close(self, incoming: Incoming, *, is_whole: bool) -> UploadView: ...
    def discard(self, upload_id: str) -> None: ...  # unless something has become of it


class FormUpload:
    """Takes the form of one operation."""

    def __init__(self, uploads: WholeUploads, pourer: Pourer, file: TakenFile) -> None:
        self._uploads = uploads
        self._pourer = pourer
        self._file = file

    async def before(self, request: BodyRequest) -> None:
        request.require_plain()
        if self._file.most is not None and (request.announced or 0) > self._file.most + _AROUND:
            raise _too_large(self._file.most)
        call = self._pourer.threads.call
        upload = await call(self._uploads.begin_whole, max(0, (request.announced or 0) - _AROUND))
        try:
            form = await self._take(request, upload.upload_id)
        except BaseException:
            await asyncio.shield(call(self._uploads.discard, upload.upload_id))
            raise
        request.scope["state"][FORM] = form

    async def _take(self, request: BodyRequest, upload_id: str) -> TakenForm:
        call = self._pourer.threads.call
        incoming = await call(self._uploads.open, upload_id, 0, None, None)
        is_whole = False
        try:
            write = _bounded(incoming, self._file.most)
            reader = FormReader(request.headers.get(b"content-type", b""), write, self._file.fields)
            await self._pourer.pour(request.receive, reader.take, sender_of(request.scope))
            reader.finish()
            is_whole = True
        finally:
            view = await asyncio.shield(call(self._uploads.close, incoming, is_whole=is_whole))
        request.scope["state"][SAID] = reader.digest
        return TakenForm(upload_id, reader.texts, reader.file_field, reader.filename, view.offset or 0)

    async def after(self, request: BodyRequest, answer: WSGIAnswer) -> WSGIAnswer:
        form: TakenForm = request.scope["state"][FORM]
        # What was refused, or answered as the first time, needs these bytes no more.
        await self._pourer.threads.call(self._uploads.discard, form.upload_id)
        return answer


def _bounded(incoming: Incoming, most: int | None) -> Callable[[memoryview], None]:
    """Writes to an upload that has a bound of its own. What it returns raises TooLarge."""
    if most is None:
        return incoming.write

    def write(data: memoryview) -> None:
        if incoming.offset + len(data) > most:
            raise _too_large(most)
        incoming.write(data)

    return write


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The file may have {most:,} bytes at most.", data={"max_bytes": most})
