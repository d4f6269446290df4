"""The data that shell and routes exchange: the form that the shell has stored on disk, and the file to send."""

import re
from collections.abc import Mapping
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
