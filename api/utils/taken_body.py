"""Bodies that the shell has taken to disk: what it leaves of them for the route that answers."""

from collections.abc import Mapping
from dataclasses import dataclass

#: The keys in the state of an ASGI scope under which the shell leaves a form, and the hash of what a request said
#: otherwise than in its body: by that a retry is known.
FORM = "form"
SAID = "said"


@dataclass(frozen=True, slots=True)
class TakenForm:
    """What a form said, and where its file is."""

    upload_id: str
    texts: Mapping[str, str]
    file_field: str | None  #: None: it had no file
    filename: str | None  #: as the client called it
    size_bytes: int
