"""The data that shell and routes exchange: the form that the shell has stored on disk, and the file to send."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: The keys in the state of an ASGI scope under which the shell stores a form, and the hash of a request without its
#: body, by which a retry is recognised.
FORM = "form"
DIGEST = "said"

#: The content type of an upload's parts (tus).
PART = "application/offset+octet-stream"

#: The key under which a route stores a file for the shell to send.
FILE = "file"


@dataclass(frozen=True, slots=True)
class StoredForm:
    """The content of a form, and the location of its file."""

    upload_id: str
    texts: Mapping[str, str]
    file_field: str | None  #: None: the form has no file
    filename: str | None  #: as the client named it
    size_bytes: int

    @property
    def base_name(self) -> str | None:
        """The last part of the file's name, for the path separators of any system."""
        return None if not self.filename else re.split(r"[/\\]", self.filename)[-1] or None


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """The parts of a file in order, each created on demand by a generator that releases its resources when closed."""

    name: str
    content_type: str
    parts: Iterator[bytes]

    def next_part(self) -> bytes | None:
        """Return the next part; None at the end. Raises OSError and any error of the generator."""
        return next(self.parts, None)

    def close(self) -> None:
        """Release the resources of the generator."""
        close = getattr(self.parts, "close", None)
        if close is not None:
            close()
