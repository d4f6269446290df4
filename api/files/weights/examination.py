"""Find out what a weight file is from its content, with bounded memory; its name does not matter."""

import os
import re
import stat
from pathlib import Path

from api.domain.models.weights import FileForm, WeightsFacts
from api.domain.reason import Reason
from api.files.weights.adapters import read_adapter
from api.files.weights.header import LONGEST_HEADER_BYTES, MOST_HEADER_BYTES, Header, Unsound, read_open_header
from api.files.weights.recognition import read_quantisation, recognise

#: Bytes at the start of a file that determine its format.
START_BYTES = 64

#: First bytes of files other than safetensors.
_FORMS = (
    (b"version https://git-lfs", FileForm.LFS_POINTER),
    (b"GGUF", FileForm.GGUF),
    (b"PK\x03\x04", FileForm.TORCH_ZIP),
    (b"\x80\x02", FileForm.PICKLE),
    (b"\x80\x03", FileForm.PICKLE),
    (b"\x80\x04", FileForm.PICKLE),
    (b"\x80\x05", FileForm.PICKLE),
)
_PAGES = (b"<!", b"<html", b"<?xml", b"<head")

#: Start of pickles of the protocols 0 and 1, which have no magic number. A plain word list does not match.
_OLD_PICKLE = re.compile(
    rb"\(*(?:[ld](?:p[0-9]+\n|\.)|[])}](?:[q(.]|p[0-9]+\n)|c[\w.]+\n[\w.]+\n(?:p[0-9]+\n|q[\x00-\x1f]|[])}(]))",
    re.ASCII,
)

#: The magic number at the end of a zip; only a comment can follow.
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22 + 2**16

#: What a file in another format is, as the end of "It …".
FORM_TEXTS = {
    FileForm.EMPTY: Reason.of("is empty", "form_empty"),
    FileForm.LFS_POINTER: Reason.of("is the pointer of a file that Git LFS did not fetch", "form_lfs_pointer"),
    FileForm.WEB_PAGE: Reason.of("is a web page", "form_web_page"),
    FileForm.GGUF: Reason.of("is a GGUF file, which the trainer cannot load", "form_gguf"),
    FileForm.TORCH_ZIP: Reason.of("is a pickled checkpoint of torch, which can hold code", "form_torch_zip"),
    FileForm.PICKLE: Reason.of("is a pickle, which can hold code", "form_pickle"),
    FileForm.OTHER: Reason.of("is not a safetensors file", "form_other"),
}


def detect_form(start: bytes) -> FileForm:
    """Return the format of a file with these first bytes."""
    if not start:
        return FileForm.EMPTY
    length = int.from_bytes(start[:8], "little") if start[8:9] == b"{" else 0
    # A header of 640 bytes starts like a pickle, one of 8,508 bytes like a web page; only safetensors has five zeros
    # there.
    if 0 < length <= MOST_HEADER_BYTES:
        return FileForm.SAFETENSORS
    if any(start.lstrip().lower().startswith(sign) for sign in _PAGES):
        return FileForm.WEB_PAGE
    for sign, form in _FORMS:
        if start.startswith(sign):
            return form
    if _OLD_PICKLE.match(start):
        return FileForm.PICKLE
    return FileForm.SAFETENSORS if 0 < length <= LONGEST_HEADER_BYTES else FileForm.OTHER


def examine(path: Path) -> WeightsFacts:
    """Describe the file at a path. Raises OSError; FileNotFoundError also for other things than regular files."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return examine_open(handle)
    finally:
        os.close(handle)


def examine_open(handle: int) -> WeightsFacts:
    """Describe an open file. Raises OSError; FileNotFoundError also for other things than regular files."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError("This is not a regular file.")
    size = status.st_size
    form = detect_form(os.pread(handle, START_BYTES, 0))
    if form is not FileForm.SAFETENSORS:
        return _describe_other(handle, form, size)
    try:
        header = read_open_header(handle, size)
    except Unsound as unsound:
        return WeightsFacts(form, size, False, str(unsound))
    if header is None:
        return WeightsFacts(
            form, size, None, f"has a header that is larger than {MOST_HEADER_BYTES >> 20} MiB or has too many parts"
        )
    return describe(header, size)


def _describe_other(handle: int, form: FileForm, size: int) -> WeightsFacts:
    """Describe a file that is not safetensors; a zip is complete if its end is present."""
    if form is FileForm.TORCH_ZIP:
        end = os.pread(handle, _ZIP_END_BYTES, max(0, size - _ZIP_END_BYTES))
        if _ZIP_END not in end:
            return WeightsFacts(form, size, False, "is a zip without its end: download it again")
        return WeightsFacts(form, size, True, FORM_TEXTS[form].text)
    is_whole = False if form in (FileForm.EMPTY, FileForm.LFS_POINTER, FileForm.WEB_PAGE) else None
    return WeightsFacts(form, size, is_whole, FORM_TEXTS[form].text)


def describe(header: Header, size: int) -> WeightsFacts:
    """Describe a complete file with this header."""
    adapter = read_adapter(header)
    return WeightsFacts(
        form=FileForm.SAFETENSORS,
        size_bytes=size,
        is_whole=True,
        component=None if adapter is not None else recognise(header),
        adapter=adapter,
        dtype=header.dtype,
        quantisation=read_quantisation(header),
        parameters=header.parameters,
        tensors=len(header.shapes),
        prefixes=tuple(sorted(header.prefixes)),
        metadata=header.metadata,
    )
