"""Limits of archives, and the errors of archives that are rejected."""

from dataclasses import dataclass

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits that are enforced while an archive is unpacked, whatever its headers claim. Sizes are in bytes."""

    entries: int = 100_000  #: files and directories
    total: int = 2**40  #: total bytes written
    #: Bytes written for each byte of the archive. Media hardly compress; deflate shrinks zeros by a factor of 1,000.
    ratio: int = 200
    #: Bytes written before the ratio applies: small archives of captions or flat pictures are not bombs.
    small: int = 64 * MB
    depth: int = 16  #: directories above a file
    min_free: int = 2048 * MB  #: free disk space that must remain
    memory: int = 512 * MB  #: address space of the process
    cpu_seconds: int = 3600


class BadArchive(Exception):
    """The archive is rejected: `reason` says why, `entry` names the entry that is the cause, if any."""

    def __init__(self, reason: str, entry: str | None = None) -> None:
        """Create the error. `reason` is a sentence without its subject."""
        super().__init__(reason)
        self.reason = reason
        self.entry = entry


class DiskFull(Exception):
    """The disk has too little free space for the files of the archive; the archive itself may be valid."""
