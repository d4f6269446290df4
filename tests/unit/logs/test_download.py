import errno
from pathlib import Path

import pytest

from api.domain.log import LogPart
from api.errors import Unavailable
from api.executors.fake import MemoryLog
from api.web.file_responses import open_download
from tests.unit.log_making import MadeLog


def test_all_segments_are_one_file_that_can_be_read_anywhere(tmp_path: Path):
    log = MadeLog(tmp_path / "log", segment_bytes=10)
    content = b"".join(b"line %d\n" % number for number in range(20))
    for line in content.splitlines(keepends=True):
        log.write(line)
    download = open_download(log.files, "a.log", is_inline=False)
    try:
        assert (download.size, download.first, len(download.parts) > 3) == (len(content), 0, True)
        read = b""
        while piece := download.read(len(read), 7):
            read += piece
        assert read == content
        assert download.read(download.size, 7) == b""
    finally:
        download.close()


def test_concurrent_writes_and_removals_change_nothing(tmp_path: Path):
    log = MadeLog(tmp_path / "log")
    log.write(b"one\n")
    download = open_download(log.files, "a.log", is_inline=True)
    try:
        log.write(b"two\n")
        for path in (tmp_path / "log").iterdir():
            path.unlink()
        assert download.read(0, 100) == b"one\n"
    finally:
        download.close()


class Stubborn(MemoryLog):
    """A log that cannot be opened several times."""

    def __init__(self, error: OSError, times: int) -> None:
        super().__init__(Path("/log"))
        self.error, self.times = error, times

    def open_parts(self) -> tuple[int, tuple[LogPart, ...]]:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return 0, ()


def test_log_that_is_just_being_cut_is_opened_again():
    assert open_download(Stubborn(FileNotFoundError(), 2), "a.log", is_inline=False).size == 0
    with pytest.raises(Unavailable, match="is being rotated"):
        open_download(Stubborn(FileNotFoundError(), 3), "a.log", is_inline=False)


def test_log_that_cannot_be_opened_is_unavailable():
    refused = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(Unavailable, match="Too many open files") as error:
        open_download(Stubborn(refused, 1), "a.log", is_inline=False)
    assert error.value.headers["Retry-After"] == "5"
