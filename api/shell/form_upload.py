"""A form with a file that becomes an upload at once: its file goes to disk, its fields are left for the route."""

import asyncio
from typing import Protocol

from api.models.upload import Upload, UploadView
from api.services.datasets.incoming import Checksum, Incoming
from api.shell.forms import FormReader
from api.shell.pouring import Pourer, sender_of
from api.shell.taking import BodyRequest
from api.shell.wsgi import WSGIAnswer
from api.utils.base_path import BASE_PATH
from api.utils.taken_body import FORM, SAID, TakenForm

#: The operation whose form is taken, and the names that the file may have in it.
FORM_UPLOAD = f"POST {BASE_PATH}/preprocess/upload"
_FILE_FIELDS = ("video", "file")


class WholeUploads(Protocol):
    """What the shell needs of uploads that come in one request. Threads call it."""

    def begin_whole(self) -> Upload: ...
    def open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> Incoming: ...
    def close(self, incoming: Incoming, *, is_whole: bool) -> UploadView: ...
    def discard(self, upload_id: str) -> None: ...  # unless something has become of it


class FormUpload:
    """Takes the form of one operation."""

    def __init__(self, uploads: WholeUploads, pourer: Pourer) -> None:
        self._uploads = uploads
        self._pourer = pourer

    async def before(self, request: BodyRequest) -> None:
        request.require_plain()
        call = self._pourer.threads.call
        upload = await call(self._uploads.begin_whole)
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
            reader = FormReader(request.headers.get(b"content-type", b""), incoming.write, _FILE_FIELDS)
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
