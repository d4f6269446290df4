import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import MalformedRequest, UnsupportedMediaType
from api.web.bodies.form_upload import FormReader

TYPE = b"multipart/form-data; boundary=XXX"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    result = f'; filename="{filename}"' if filename is not None else ""
    return f'--XXX\r\nContent-Disposition: form-data; name="{name}"{result}\r\n\r\n'.encode() + content + b"\r\n"


def read(body: bytes, size: int = 10**9, content_type: bytes = TYPE) -> tuple[FormReader, bytes]:
    written = bytearray()
    reader = FormReader(content_type, written.extend, ("video", "file"))
    for start in range(0, len(body), size):
        reader.take(bytearray(body[start : start + size]))
    reader.finish()
    return reader, bytes(written)


END = b"--XXX--\r\n"


def test_texts_are_collected_and_the_file_is_passed_on():
    body = part("prompt", "größe".encode()) + part("video", b"bytes", "clip.mp4") + part("fps", b"24") + END
    reader, written = read(body)
    assert reader.texts == {"prompt": "größe", "fps": "24"}
    assert (reader.file_field, reader.filename, written) == ("video", "clip.mp4", b"bytes")


@pytest.mark.parametrize("name", ["模型.safetensors", "été.png", "a\N{RIGHT SINGLE QUOTATION MARK}s.png", "🐈"])
def test_file_name_may_use_any_script(name: str):
    reader, _ = read(part("größe", b"1") + part("file", b"x", name) + END)
    assert (reader.filename, reader.texts) == (name, {"größe": "1"})


def test_file_name_in_an_unknown_encoding_is_replaced():
    body = part("file", b"x", "NAME").replace(b"NAME", b"\xff\xfe.bin") + END
    assert read(body)[0].filename == "\N{REPLACEMENT CHARACTER}" * 2 + ".bin"


@given(st.binary(max_size=3000), st.integers(1, 700))
def test_file_is_the_same_for_any_chunking(content: bytes, size: int):
    content = content.replace(b"--XXX", b"") + b"\r\n--XX\r\n-"
    assert read(part("file", content, "a") + END, size)[1] == content


def test_digest_does_not_depend_on_boundary_and_chunking():
    body = part("prompt", b"a") + part("file", secrets.token_bytes(5000), "x") + END
    one, other = read(body)[0], read(body.replace(b"XXX", b"YYYY"), 100, TYPE.replace(b"XXX", b"YYYY"))[0]
    assert one.digest == other.digest
    assert read(part("prompt", b"b") + END)[0].digest != read(part("prompb", b"t") + END)[0].digest


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (part("file", b"x", "a"), "before its last boundary"),
        (part("file", b"x", "a") + part("video", b"y", "b") + END, "more than one file"),
        (part("prompt", b"x", "a") + END, "in the field video or file"),
        (part("prompt", b"x") * 2 + END, "twice"),
        (part("prompt", b"x" * 70_000) + END, "65,536 bytes"),
        (part("prompt", b"\xff") + END, "UTF-8"),
        (b"".join(part(str(n), b"") for n in range(33)) + END, "32 parts"),
        (b"--XXX\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, "no name"),
        (b"no form at all", "cannot be read"),
        (b"--XXX\r\n" + b"A: " + b"x" * 9000 + b"\r\n\r\n\r\n" + END, "headers|header"),
    ],
)
def test_invalid_form_is_refused_with_the_reason(body: bytes, reason: str):
    with pytest.raises(MalformedRequest, match=reason):
        read(body)


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"multipart/form-data", b"", b"multipart/mixed; boundary=X"]
)
def test_other_content_type_is_refused(content_type: bytes):
    with pytest.raises(UnsupportedMediaType):
        read(b"", content_type=content_type)
