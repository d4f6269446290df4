"""Files as answers: streamed by the event loop, whole or in part. No thread waits for a slow client."""

import os
from typing import Protocol

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from api.errors import MalformedRequest, RangeNotSatisfiable


class File(Protocol):
    """A regular file that is open for reading."""

    @property
    def descriptor(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


async def send_file(file: File, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the file, or the part that Range names, and closes it. Raises RangeNotSatisfiable, MalformedRequest."""

    async def refuse_plain_text(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            if message["status"] == 416:
                raise RangeNotSatisfiable(
                    f"The file has {file.size:,} bytes.", headers={"Content-Range": f"bytes */{file.size}"}
                )
            raise MalformedRequest("The Range header cannot be read: bytes=0-1023 asks for the first 1,024 bytes.")
        await send(message)

    try:
        # By its descriptor: the name may be another file by now.
        path = f"/proc/self/fd/{file.descriptor}"
        response = FileResponse(path, filename=file.name, stat_result=os.fstat(file.descriptor))
        await response(scope, receive, refuse_plain_text)
    finally:
        os.close(file.descriptor)
