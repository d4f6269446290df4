"""What an archive may cost at most, and how it is refused."""

from dataclasses import dataclass

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bounds that hold while an archive is written out, whatever its own headers say. Sizes are in bytes."""

    entries: int = 100_000  #: files and directories
    total: int = 2**40  #: of all that is written
    #: Written for each byte of the archive; media hardly shrink, and 1,000 is what deflate makes of zeros.
    ratio: int = 200
    #: Written before the ratio counts: small archives of captions or flat pictures are no bombs.
    small: int = 64 * MB
    depth: int = 16  #: directories above a file
    min_free: int = 2048 * MB  #: left free on the disk
    memory: int = 512 * MB  #: address space of the process
    cpu_seconds: int = 3600


class BadArchive(Exception):
    """The archive is not taken: `reason` says why, `entry` which of its entries it is, where it is one."""

    def __init__(self, reason: str, entry: str | None = None) -> None:
        """`reason` is a whole sentence without its subject's name."""
        super().__init__(reason)
        self.reason = reason
        self.entry = entry


class NoRoom(Exception):
    """The disk has too little room for what the archive holds; that is nothing against the archive."""
