"""Read zip and tar files in one way: entries in archive order, their content in parts. Nothing is written here.

The content of these files is hostile. Any exception of the libraries becomes BadArchive. The process in which this
runs has a memory limit.
"""

import bz2
import gzip
import lzma
import stat
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tarfile import EOFHeaderError, HeaderError, ReadError  # type: ignore[attr-defined]
from typing import Any, BinaryIO, Self

from api.files.archives.limits import BadArchive
from api.util.files.foreign_files import TROUBLE

#: Bytes of an entry that are in memory at the same time.
PART_BYTES = 256 * 1024

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}

#: Position of the magic number in a tar's first header, and bytes that are needed to detect any of these formats.
_TAR_MARK = 257
SNIFFED_BYTES = 512

#: Python can read Zstandard since 3.14.
HAS_ZSTD = sys.version_info >= (3, 14)

_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}

_TAR_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory of an archive. `packed_size` is None if the archive is compressed as a whole."""

    name: str
    is_directory: bool
    packed_size: int | None
    content: Iterator[bytes]


def form_of(head: bytes) -> str | None:
    """Return the format of an archive with these first bytes: zip, tar, gz, bz2, xz or zst; None for other files."""
    if head.startswith(_ZIP):
        return "zip"
    if head[_TAR_MARK : _TAR_MARK + 5] == b"ustar":
        return "tar"
    return next((form for magic, form in _PACKED.items() if head.startswith(magic)), None)


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of an archive; read the content of each before the next. Raises BadArchive, OSError."""
    with path.open("rb") as file:
        form = form_of(file.read(SNIFFED_BYTES))
        file.seek(0)
        if form is None:
            raise BadArchive("is neither a zip nor a tar, nor a tar packed with gzip, bzip2, xz or Zstandard")
        if form == "zst" and not HAS_ZSTD:
            raise BadArchive(
                "is packed with Zstandard, which needs Python 3.14 here: pack it with gzip or xz, or send a zip"
            )
        with _damage_as_bad_archive():
            yield from _read_zip(file) if form == "zip" else _read_tar(file, form)


@contextmanager
def _damage_as_bad_archive(entry: str | None = None) -> Iterator[None]:
    """Convert any exception of a library about an archive to BadArchive."""
    try:
        yield
    except (BadArchive, GeneratorExit):
        raise
    except MemoryError:
        raise BadArchive("needs more memory than is allowed for an archive", entry) from None
    except Exception as error:  # zlib, lzma, struct, Unicode, recursion: the formats can be broken in many ways
        # An impossible file position (EINVAL) comes from the archive's content; a disk failure does not.
        if isinstance(error, OSError) and error.errno in TROUBLE:
            raise
        raise BadArchive(f"cannot be read: it is damaged or incomplete ({type(error).__name__})", entry) from error


# -- zip -----------------------------------------------------------------------------------------------------------


def _read_zip(file: BinaryIO) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            _check_zip(info)
            yield Entry(info.filename, info.is_dir(), info.compress_size, _content_of(archive, info))


def _check_zip(info: zipfile.ZipInfo) -> None:
    if "\0" in info.orig_filename:
        raise BadArchive("has a control character or an invalid Unicode character in its name", info.filename)
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) or (stat.S_ISDIR(mode) and not info.is_dir()):
        raise BadArchive("is a link, a device or a pipe: only files and directories are allowed", info.filename)
    if info.flag_bits & 0x1:
        raise BadArchive("is encrypted: send the archive without a password", info.filename)
    if info.compress_type not in _ZIP_METHODS and not (info.compress_type == 93 and HAS_ZSTD):
        raise BadArchive(f"uses the unsupported compression method {info.compress_type}", info.filename)


def _content_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with _damage_as_bad_archive(info.filename), archive.open(info) as content:
        while part := content.read(PART_BYTES):
            yield part


# -- tar -----------------------------------------------------------------------------------------------------------


class _StrictTarInfo(tarfile.TarInfo):
    """Strict headers of a tar: tarfile treats a broken or missing header as the end, and items would be missing."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise ReadError(str(error)) from None


def _read_tar(file: BinaryIO, form: str) -> Iterator[Entry]:
    mode: Any = "r|zst" if form == "zst" else "r|"
    with (
        _unpacked(file, form) as plain,
        tarfile.open(fileobj=plain, mode=mode, bufsize=PART_BYTES, tarinfo=_StrictTarInfo, errors="strict") as archive,
    ):
        for info in archive:
            if not (info.isdir() or info.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
                what = _TAR_KINDS.get(info.type, "of an unknown kind")
                raise BadArchive(f"is {what}: only files and directories are allowed", info.name)
            yield Entry(info.name, info.isdir(), None, _content_in(archive, info))
            # tarfile's list of members would grow with the archive.
            archive.members = []  # type: ignore[attr-defined]


def _unpacked(file: BinaryIO, form: str) -> Any:
    """Return the tar in a compressed file. tarfile itself would decompress large parts into memory."""
    if form == "gz":
        return gzip.GzipFile(fileobj=file)
    if form == "bz2":
        return bz2.BZ2File(file)
    if form == "xz":
        return lzma.LZMAFile(file)
    return file


def _content_in(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    content = archive.extractfile(info)
    if content is None:
        return
    left = info.size
    with _damage_as_bad_archive(info.name), content:
        while part := content.read(PART_BYTES):
            left -= len(part)
            yield part
        if left:
            raise BadArchive("is incomplete", info.name)
