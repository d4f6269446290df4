"""When the certificate ends by which this service is reached: of the proxy before it, as a file."""

from pathlib import Path

from api.alerts.evaluation import UNKNOWN
from api.util.clock import Clock

#: Seconds between two looks, and the most bytes of a file.
LOOK_SECONDS, MOST_BYTES = 600.0, 1024 * 1024

_DAY = 86_400.0


class CertificateLook:
    """Looks into the file. One thread uses it."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        """`path` None: no certificate is watched."""
        self._path = path
        self._clock = clock
        self._looked_at = float("-inf")
        self._ends_at: float | None = None

    def days_left(self) -> float:
        """Days until the first certificate of the file ends, below 0 once it has; NaN where nobody knows."""
        if self._path is None:
            return UNKNOWN
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at, self._ends_at = now, _read_end(self._path)
        return UNKNOWN if self._ends_at is None else (self._ends_at - self._clock.now().timestamp()) / _DAY


def _read_end(path: Path) -> float | None:
    """When the first certificate of a PEM file ends, in Unix seconds; None where it cannot be read."""
    # Only where a certificate is watched: 3 MB.
    from cryptography import x509  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            return x509.load_pem_x509_certificate(file.read(MOST_BYTES)).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
