"""Forms with a file that becomes an upload: the file goes to disk, the fields are left for the route."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from api.domain.sample import MOST_SAMPLE_BYTES
from api.domain.upload import Upload, UploadView
from api.errors import TooLarge
from api.util.base_path import BASE_PATH
from api.util.stored_form import DIGEST, FORM, StoredForm
from api.web.body_handler import BodyRequest
from api.web.body_streamer import BodyStreamer, sender_of
from api.web.forms import FormReader
from api.web.upload_writer import Checksum, UploadWriter
from api.web.wsgi import WSGIResponse


@dataclass(frozen=True, slots=True)
class FormFile:
    """The file of a form: its possible field names, and its most bytes if fewer than of any upload."""

    fields: tuple[str, ...] = ("file",)
    most: int | None = None


#: The operations that accept such forms.
FORM_UPLOADS = {
    f"POST {BASE_PATH}/preprocess/upload": FormFile(("video", "file")),
    f"POST {BASE_PATH}/models/upload": FormFile(),
    f"POST {BASE_PATH}/models/registry/<name>/versions/<version>/samples": FormFile(most=MOST_SAMPLE_BYTES),
}

#: The most bytes of a form besides its file: boundaries, headers and texts.
_FORM_OVERHEAD_BYTES = 512 * 1024


class WholeUploads(Protocol):
    """The upload service's methods for uploads that arrive in one request. Threads call them."""

    def begin_form(self, at_least: int) -> Upload: ...
    def open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> UploadWriter: ...
    def close(self, incoming: UploadWriter, *, is_whole: bool) -> UploadView: ...
    def discard(self, upload_id: str) -> None: ...  # does nothing if the upload has been used


class FormUpload:
    """Stores the form of one operation."""

    def __init__(self, uploads: WholeUploads, body_streamer: BodyStreamer, file: FormFile) -> None:
        self._uploads = uploads
        self._pourer = body_streamer
        self._file = file

    async def before(self, request: BodyRequest) -> None:
        request.require_plain()
        if self._file.most is not None and (request.announced or 0) > self._file.most + _FORM_OVERHEAD_BYTES:
            raise _too_large(self._file.most)
        call = self._pourer.threads.call
        upload = await call(self._uploads.begin_form, max(0, (request.announced or 0) - _FORM_OVERHEAD_BYTES))
        try:
            form = await self._take(request, upload.upload_id)
        except BaseException:
            await asyncio.shield(call(self._uploads.discard, upload.upload_id))
            raise
        request.scope["state"][FORM] = form

    async def _take(self, request: BodyRequest, upload_id: str) -> StoredForm:
        call = self._pourer.threads.call
        incoming = await call(self._uploads.open, upload_id, 0, None, None)
        is_whole = False
        try:
            write = _bounded(incoming, self._file.most)
            reader = FormReader(request.headers.get(b"content-type", b""), write, self._file.fields)
            await self._pourer.stream(request.receive, reader.take, sender_of(request.scope))
            reader.finish()
            is_whole = True
        finally:
            view = await asyncio.shield(call(self._uploads.close, incoming, is_whole=is_whole))
        request.scope["state"][DIGEST] = reader.digest
        return StoredForm(upload_id, reader.texts, reader.file_field, reader.filename, view.offset or 0)

    async def after(self, request: BodyRequest, answer: WSGIResponse) -> WSGIResponse:
        form: StoredForm = request.scope["state"][FORM]
        # After a refusal or a replayed response these bytes are not needed.
        await self._pourer.threads.call(self._uploads.discard, form.upload_id)
        return answer


def _bounded(incoming: UploadWriter, most: int | None) -> Callable[[memoryview], None]:
    """Return a function that writes to the upload and raises TooLarge beyond `most` bytes."""
    if most is None:
        return incoming.write

    def write(data: memoryview) -> None:
        if incoming.offset + len(data) > most:
            raise _too_large(most)
        incoming.write(data)

    return write


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The file is larger than {most:,} bytes.", data={"max_bytes": most})
