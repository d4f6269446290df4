"""An answer that is kept, to be given again to a retry of the same request."""

from api.utils.frozen import frozen

KEPT_SECONDS = 24 * 3600.0


@frozen
class KeptAnswer:
    """Status, body and the headers that belong to it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
