"""Ask whether a ComfyUI answers, before a task is created that needs it."""

import httpx

from api.util.bounded_answers import TimedTransport

_SECONDS, _MOST_BYTES = 5.0, 2**20


def is_answering(url: str) -> bool:
    """Return whether ComfyUI answers at this address."""
    try:
        with httpx.Client(
            transport=TimedTransport(most_bytes=_MOST_BYTES), timeout=_SECONDS, trust_env=False
        ) as client:
            return client.get(f"{url.rstrip('/')}/system_stats").status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False
