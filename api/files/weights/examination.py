"""Says what a file of weights is, by its content alone and with bounded memory, whatever it is called."""

import os
import re
import stat
from pathlib import Path

from api.domain.weights import FileForm, WeightsFacts
from api.files.weights.adapters import read_adapter
from api.files.weights.header import LONGEST_HEADER_BYTES, MOST_HEADER_BYTES, Header, Unsound, read_open_header
from api.files.weights.recognition import read_quantisation, recognise

#: Bytes of a file's beginning that tell its form.
START_BYTES = 64

#: What other files than safetensors begin with.
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

#: What pickles of the protocols 0 and 1 begin with, which have no mark of their own. A list of words is none.
_OLD_PICKLE = re.compile(
    rb"\(*(?:[ld](?:p[0-9]+\n|\.)|[])}](?:[q(.]|p[0-9]+\n)|c[\w.]+\n[\w.]+\n(?:p[0-9]+\n|q[\x00-\x1f]|[])}(]))",
    re.ASCII,
)

#: The mark in a zip's last bytes, behind which only a comment can stand.
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22 + 2**16

#: What is said of each form that is no safetensors, as the end of "It …".
FORM_WORDS = {
    FileForm.EMPTY: "is empty",
    FileForm.LFS_POINTER: "is the pointer of a file that Git LFS did not fetch",
    FileForm.WEB_PAGE: "is a page of a web site",
    FileForm.GGUF: "is a GGUF file, which the trainer cannot load",
    FileForm.TORCH_ZIP: "is a pickled checkpoint of torch, which can hold code",
    FileForm.PICKLE: "is a pickle, which can hold code",
    FileForm.OTHER: "is no safetensors file",
}


def tell_form(start: bytes) -> FileForm:
    """What a file that begins so is."""
    if not start:
        return FileForm.EMPTY
    length = int.from_bytes(start[:8], "little") if start[8:9] == b"{" else 0
    # A header of 640 bytes begins as a pickle does, one of 8,508 as a page: nothing else has five zeros there.
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
    """What the file at a path is. Raises OSError; FileNotFoundError, too, for what is no regular file."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return examine_open(handle)
    finally:
        os.close(handle)


def examine_open(handle: int) -> WeightsFacts:
    """What an open file is. Raises OSError; FileNotFoundError, too, for what is no regular file."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError("This is no regular file.")
    size = status.st_size
    form = tell_form(os.pread(handle, START_BYTES, 0))
    if form is not FileForm.SAFETENSORS:
        return _describe_other(handle, form, size)
    try:
        header = read_open_header(handle, size)
    except Unsound as unsound:
        return WeightsFacts(form, size, False, str(unsound))
    if header is None:
        return WeightsFacts(
            form, size, None, f"has a header of more than {MOST_HEADER_BYTES >> 20} MiB or of too many parts"
        )
    return describe(header, size)


def _describe_other(handle: int, form: FileForm, size: int) -> WeightsFacts:
    """What a file that is no safetensors is; of a zip its end tells whether it is whole."""
    if form is FileForm.TORCH_ZIP:
        end = os.pread(handle, _ZIP_END_BYTES, max(0, size - _ZIP_END_BYTES))
        if _ZIP_END not in end:
            return WeightsFacts(form, size, False, "is a zip without its end: it was not downloaded to it")
        return WeightsFacts(form, size, True, FORM_WORDS[form])
    is_whole = False if form in (FileForm.EMPTY, FileForm.LFS_POINTER, FileForm.WEB_PAGE) else None
    return WeightsFacts(form, size, is_whole, FORM_WORDS[form])


def describe(header: Header, size: int) -> WeightsFacts:
    """What a whole file with this header is."""
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
