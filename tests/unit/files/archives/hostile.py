"""Hostile archives from hypothesis: escaping names, links, devices, bombs, lies and damage."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from dataclasses import dataclass

from hypothesis import strategies as st

OUTSIDE = "escaped"  #: part of each escaping name

_NASTY_PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "a",
        "A",
        "é",
        "é",
        "ﬁ",
        "fi",
        "con",
        "NUL.txt",
        "a ",
        "a.",
        "\\..\\x",
        "c:",
        "\x1b[2J",
        "\ud800",
        "x" * 300,
        "1_cat",
        "captions.json",
        "__MACOSX",
        ".hidden",
        "a\0b",
        "\u202egpj",
        OUTSIDE,
        "~",
        "$HOME",
    ]
)
_NAMES = st.one_of(
    st.lists(_NASTY_PARTS, min_size=1, max_size=20).map("/".join),
    st.sampled_from([f"../{OUTSIDE}", f"/tmp/{OUTSIDE}", f"a/../../{OUTSIDE}", f"..\\{OUTSIDE}", f"//{OUTSIDE}"]),
    st.text(min_size=1, max_size=30),
    st.from_regex(r"[a-c]/[a-c]\.(png|txt)", fullmatch=True),
)
_CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"\0" * 300_000, b"PK\x03\x04" + b"x" * 30, b"\x1f\x8b\x08rest", b"a caption"]),
)


@dataclass(frozen=True)
class Piece:
    """One entry to write."""

    name: str
    kind: str
    content: bytes
    target: str


_PIECES = st.builds(
    Piece,
    _NAMES,
    st.sampled_from(["file"] * 6 + ["directory", "symlink", "hardlink", "device", "fifo"]),
    _CONTENTS,
    st.sampled_from([f"../{OUTSIDE}", "/etc/passwd", "a", ".", ".."]),
)


def make_zip(pieces: list[Piece], method: int) -> bytes:
    """Return a zip of these entries, whatever their names are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for piece in pieces:
            info = zipfile.ZipInfo("x")
            info.filename = piece.name.encode("utf-8", "replace").decode()
            modes = {"symlink": 0o120777, "device": 0o020666, "fifo": 0o010666, "directory": 0o040755}
            info.external_attr = modes.get(piece.kind, 0o100644) << 16
            info.compress_type = method
            content = piece.target.encode() if piece.kind == "symlink" else piece.content
            archive.writestr(info, content)
    return buffer.getvalue()


def make_tar(pieces: list[Piece], packing: str) -> bytes:
    """Return a tar of these entries, compressed or not."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for piece in pieces:
            info = tarfile.TarInfo(piece.name.encode("utf-8", "replace").decode().replace("\0", "0"))
            kinds = {
                "symlink": tarfile.SYMTYPE,
                "hardlink": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
                "fifo": tarfile.FIFOTYPE,
                "directory": tarfile.DIRTYPE,
            }
            info.type = kinds.get(piece.kind, tarfile.REGTYPE)
            info.linkname = piece.target if piece.kind in ("symlink", "hardlink") else ""
            info.size = len(piece.content) if piece.kind == "file" else 0
            archive.addfile(info, io.BytesIO(piece.content))
    packers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    return packers.get(packing, bytes)(buffer.getvalue())


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Return an archive; in every third some bytes are changed, removed or added."""
    pieces = draw(st.lists(_PIECES, min_size=1, max_size=6))
    form = draw(st.sampled_from(["zip", "zip", "tar", "gz", "bz2", "xz"]))
    if form == "zip":
        data = make_zip(pieces, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])))
    else:
        data = make_tar(pieces, form)
    damage = draw(st.sampled_from(["none", "none", "none", "cut", "flip", "flip", "append", "double"]))
    if damage == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if damage == "flip":
        changed = bytearray(data)
        for _ in range(draw(st.integers(1, 8))):
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    if damage == "append":
        return data + draw(st.binary(max_size=2000))
    return data * 2 if damage == "double" else data
