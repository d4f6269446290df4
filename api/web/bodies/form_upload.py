"""Forms with a file that becomes an upload: the file goes to disk, the fields are left for the route."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.domain.datasets.upload import Upload, UploadView
from api.domain.samples.library_sample import MOST_SAMPLE_BYTES
from api.errors import MalformedRequest, TooLarge, UnsupportedMediaType
from api.util.files.stored_form import DIGEST, FORM, StoredForm
from api.util.http.base_path import BASE_PATH
from api.web.bodies.body import BodyRequest, WSGIResponse
from api.web.bodies.body_streamer import BodyStreamer, sender_of
from api.web.bodies.upload_writer import Checksum, UploadWriter

#: Bounds: parts of a form, bytes of one part's headers, and bytes of one text.
MOST_PARTS = 32
MOST_HEADER_BYTES = 8 * 1024
MOST_TEXT_BYTES = 64 * 1024


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    header_bytes: int = 0
    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)


class FormReader:
    """Parses one form. Not thread-safe."""

    def __init__(self, content_type: bytes, write: Callable[[memoryview], None], file_names: tuple[str, ...]) -> None:
        """`write` receives the file, which is in one of the fields `file_names`. Raises UnsupportedMediaType."""
        kind, options = parse_options_header(content_type.decode("latin-1"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary or len(boundary) > 200:
            raise UnsupportedMediaType("Send a form with its file as multipart/form-data, with a boundary.")
        self.texts: dict[str, str] = {}
        self.file_field: str | None = None
        self.filename: str | None = None
        self._write = write
        self._file_names = file_names
        self._part = _Part()
        self._parts = 0
        self._digest = hashlib.sha256()
        self._is_whole = False
        callbacks: Mapping[str, Callable[..., None]] = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._finish_headers,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def take(self, data: bytearray) -> None:
        """Parse more of the body. Raises MalformedRequest and any error of `write`."""
        try:
            self._parser.write(bytes(data))
        except MultipartParseError as error:
            raise MalformedRequest(f"The form cannot be read: {error}.") from None

    def finish(self) -> None:
        """Check that the form is complete. Raises MalformedRequest."""
        if not self._is_whole:
            raise MalformedRequest("The form ends before its last boundary.")

    @property
    def digest(self) -> bytes:
        """The SHA-256 of names and contents, independent of the boundary."""
        return self._digest.digest()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise MalformedRequest(f"The form has more than {MOST_PARTS} parts.")
        self._part = _Part()

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._part.header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._part.header_value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._part.header_bytes += size
        if self._part.header_bytes > MOST_HEADER_BYTES:
            raise MalformedRequest(f"A part of the form has more than {MOST_HEADER_BYTES:,} bytes of headers.")

    def _end_header(self) -> None:
        part = self._part
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name, part.header_value = bytearray(), bytearray()

    def _finish_headers(self) -> None:
        part = self._part
        # The parser maps each byte to one character, so any encoding passes through unchanged.
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        part.is_file = b"filename" in options
        self._digest.update(f"\0{part.name}\0{part.is_file}\0".encode())
        if not part.name:
            raise MalformedRequest("A part of the form has no name.")
        if part.is_file:
            self._begin_file(options.get(b"filename", b"").decode("utf-8", "replace"))
        elif part.name in self.texts:
            raise MalformedRequest(f'The form has the field "{part.name[:100]}" twice.')

    def _begin_file(self, filename: str) -> None:
        if self._part.name not in self._file_names:
            wanted = " or ".join(self._file_names)
            raise MalformedRequest(
                f'The field "{self._part.name[:100]}" contains a file. Send the file in the field {wanted}.'
            )
        if self.file_field is not None:
            raise MalformedRequest("The form has more than one file. Send one file, or several in a zip or tar.")
        self.file_field, self.filename = self._part.name, filename or None

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._digest.update(memoryview(data)[start:end])
        if self._part.is_file:
            self._write(memoryview(data)[start:end])
            return
        self._part.text += data[start:end]
        if len(self._part.text) > MOST_TEXT_BYTES:
            raise MalformedRequest(f'The field "{self._part.name[:100]}" has more than {MOST_TEXT_BYTES:,} bytes.')

    def _end_part(self) -> None:
        if not self._part.is_file:
            try:
                self.texts[self._part.name] = self._part.text.decode()
            except UnicodeDecodeError:
                raise MalformedRequest(f'The field "{self._part.name[:100]}" is not UTF-8.') from None

    def _end(self) -> None:
        self._is_whole = True


@dataclass(frozen=True, slots=True)
class FormFile:
    """The file of a form: its possible field names, and its most bytes if fewer than of any upload."""

    fields: tuple[str, ...] = ("file",)
    most: int | None = None


#: The operations that accept forms with a file.
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
