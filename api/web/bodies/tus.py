"""The parts of the tus 1.0 protocol (tus.io/protocols/resumable-upload) that are not JSON requests and responses."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Protocol

from starlette.types import Scope

from api.domain.datasets.upload import UploadView
from api.errors import MalformedRequest, TusVersionUnknown, UnsupportedMediaType, UploadConflict
from api.util.files.stored_form import DIGEST, PART
from api.util.http.base_path import BASE_PATH
from api.util.http.documents import HeaderList
from api.web.bodies.body import BodyHandler, BodyRequest, WSGIResponse
from api.web.bodies.body_streamer import BodyStreamer, sender_of
from api.web.bodies.upload_writer import CHECKSUMS, Checksum, UploadWriter
from api.web.reply import Headers

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "checksum", "expiration", "termination")


UPLOADS = f"{BASE_PATH}/uploads"

#: An earlier request of the same client may still hold the upload while its last bytes are written.
_TRIES, _TRY_SECONDS = 5, 0.2


class Uploads(Protocol):
    """The upload service's methods for parts of uploads. Threads call them."""

    def open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> UploadWriter: ...
    def close(self, incoming: UploadWriter, *, is_whole: bool) -> UploadView: ...


class Tus:
    """The addresses of tus: the checks that all their requests share, and their bodies."""

    def __init__(self, uploads: Uploads, body_streamer: BodyStreamer, most: int) -> None:
        """`most` is the size of the largest upload in bytes."""
        self._uploads = uploads
        self._pourer = body_streamer
        self._most = most

    @property
    def body_handlers(self) -> Mapping[str, BodyHandler]:
        """The operations whose bodies are stored on disk."""
        return {f"POST {UPLOADS}": _Creation(self), f"PATCH {UPLOADS}/<upload_id>": _Part(self)}

    def serves(self, path: str) -> bool:
        """Return whether this is an address of tus."""
        return path == UPLOADS or path.startswith(f"{UPLOADS}/")

    def options(self, path: str) -> HeaderList:
        """Return the headers that describe the protocol at this path."""
        if not self.serves(path):
            return []
        return [
            (b"tus-version", VERSION.encode()),
            (b"tus-extension", ",".join(EXTENSIONS).encode()),
            (b"tus-max-size", str(self._most).encode()),
            (b"tus-checksum-algorithm", ",".join(CHECKSUMS).encode()),
        ]

    def method_of(self, scope: Scope, headers: Headers) -> str:
        """Return the intended method: clients that can only send POST name another one in a header."""
        method: str = scope["method"]
        wanted = headers.get(b"x-http-method-override", b"").decode("latin-1")
        return wanted if method == "POST" and wanted in ("PATCH", "DELETE") and self.serves(scope["path"]) else method

    def require_version(self, scope: Scope, headers: Headers) -> None:
        """Raise TusVersionUnknown for another version of tus, or for none in a request that writes."""
        spoken = headers.get(b"tus-resumable")
        # A plain GET and the list are not part of the protocol.
        is_plain = scope["method"] == "GET" or (scope["method"] == "HEAD" and scope["path"] == UPLOADS)
        if spoken != VERSION.encode() and not (spoken is None and is_plain):
            raise TusVersionUnknown(headers={"Tus-Version": VERSION})

    async def take(self, request: BodyRequest, upload_id: str, offset: int | None) -> UploadView:
        """Write the body of a request to the upload, from `offset` on.

        Raises ClientGone and the errors of the upload service.
        """
        checksum, threads = read_checksum(request.headers), self._pourer.threads
        incoming = await self._open(upload_id, offset, request.announced, checksum)
        is_whole = False
        try:
            await self._pourer.stream(request.receive, incoming.write, sender_of(request.scope))
            is_whole = True
        finally:
            # Also when this coroutine is cancelled: nothing else releases the upload.
            view = await asyncio.shield(threads.call(self._uploads.close, incoming, is_whole=is_whole))
        return view

    async def _open(
        self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None
    ) -> UploadWriter:
        tries = _TRIES
        while True:
            try:
                return await self._pourer.threads.call(self._uploads.open, upload_id, offset, announced, checksum)
            except UploadConflict as error:
                tries -= 1
                # With data, the conflict is a wrong offset, not another writer.
                if error.data is not None or not tries:
                    raise
            await asyncio.sleep(_TRY_SECONDS)


class _Part:
    """PATCH: the next bytes of an upload."""

    def __init__(self, tus: Tus) -> None:
        self._tus = tus

    async def before(self, request: BodyRequest) -> None:
        if request.content_type != PART:
            raise UnsupportedMediaType(f"Send parts of an upload with Content-Type: {PART}.")
        request.require_plain()
        offset = request.number("Upload-Offset")
        if offset is None:
            raise MalformedRequest("Upload-Offset is missing. Send the offset in the upload at which this part begins.")
        await self._tus.take(request, request.arguments["upload_id"], offset)

    async def after(self, request: BodyRequest, answer: WSGIResponse) -> WSGIResponse:
        return answer


class _Creation:
    """POST: a new upload, and perhaps its first bytes."""

    def __init__(self, tus: Tus) -> None:
        self._tus = tus

    async def before(self, request: BodyRequest) -> None:
        request.require_plain()
        if request.has_body and request.content_type != PART:
            raise UnsupportedMediaType(f"Send the first part of an upload with Content-Type: {PART}.")
        read_checksum(request.headers)
        declared = [request.headers.get(name, b"") for name in (b"upload-length", b"upload-metadata")]
        request.scope["state"][DIGEST] = hashlib.sha256(b"\0".join(declared)).digest()

    async def after(self, request: BodyRequest, answer: WSGIResponse) -> WSGIResponse:
        headers = dict(answer.headers)
        is_new = answer.status == 201 and b"idempotent-replayed" not in headers
        if not (is_new and request.has_body and request.content_type == PART):
            return answer
        upload_id = headers[b"location"].decode().rpartition("/")[2]
        view = await self._tus.take(request, upload_id, 0)
        return answer._replace(headers=[*answer.headers, (b"upload-offset", str(view.offset).encode())])


def read_checksum(headers: Headers) -> Checksum | None:
    """Return the expected checksum of a part. Raises MalformedRequest."""
    value = headers.get(b"upload-checksum")
    if value is None:
        return None
    algorithm, _, encoded = value.decode("latin-1").strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise MalformedRequest(f"The algorithm of Upload-Checksum must be {' or '.join(CHECKSUMS)}.")
    try:
        return Checksum(algorithm, base64.b64decode(encoded.strip(), validate=True))
    except ValueError:
        raise MalformedRequest("Upload-Checksum must have a checksum in Base64 after its algorithm.") from None
