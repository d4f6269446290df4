"""What shell and routes leave for each other: what the shell has taken to disk of a body, and the file to be sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: The keys in the state of an ASGI scope under which the shell leaves a form, and the hash of what a request said
#: otherwise than in its body: by that a retry is known.
FORM = "form"
SAID = "said"

#: What the parts of an upload are sent as (tus).
PART = "application/offset+octet-stream"

#: The key under which a route leaves a file for the shell to send.
FILE = "file"


@dataclass(frozen=True, slots=True)
class TakenForm:
    """What a form said, and where its file is."""

    upload_id: str
    texts: Mapping[str, str]
    file_field: str | None  #: None: it had no file
    filename: str | None  #: as the client called it
    size_bytes: int

    @property
    def base_name(self) -> str | None:
        """The last part of the file's name, whatever the client's system separates parts with."""
        return None if not self.filename else re.split(r"[/\\]", self.filename)[-1] or None
