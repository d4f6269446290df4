import gzip

import pytest
from flask import Flask, Response

from api.web.packed_responses import CONTENT_TYPES, answer_packed, pack, pack_as

FILE = pack("a.css", b"a { color: red }" * 100)


def ask(**headers: str) -> Response:
    app = Flask(__name__)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with app.test_request_context(headers=given):
        return answer_packed(FILE, {"Cache-Control": "no-cache"})


def test_file_is_compressed_for_clients_that_accept_it():
    plain, zipped = ask(), ask(Accept_Encoding="gzip")
    assert plain.get_data() == gzip.decompress(zipped.get_data()) == FILE.content
    assert ("Content-Encoding" in plain.headers, zipped.headers["Content-Encoding"]) == (False, "gzip")
    assert (plain.headers["Vary"], plain.headers["Cache-Control"]) == ("Accept-Encoding", "no-cache")
    assert plain.content_type == "text/css; charset=utf-8"


@pytest.mark.parametrize("encoding", ["", "gzip;q=0", "br"])
def test_client_without_gzip_gets_an_uncompressed_file(encoding: str):
    assert "Content-Encoding" not in ask(Accept_Encoding=encoding).headers


def test_unchanged_file_is_not_sent():
    tag = ask().headers["ETag"]
    assert (ask(If_None_Match=tag).status_code, ask(If_None_Match='"other"').status_code) == (304, 200)
    assert not ask().is_streamed


@pytest.mark.parametrize(("name", "kind"), [(f"a{suffix}", kind) for suffix, kind in CONTENT_TYPES.items()])
def test_suffix_decides_the_type(name: str, kind: str):
    assert pack(name, b"x").content_type == kind


def test_unknown_suffix_is_rejected():
    with pytest.raises(KeyError):
        pack("secrets.env", b"x")


def test_same_content_has_the_same_bytes_and_tag():
    one, again, other = pack("a.css", b"x" * 100), pack("a.css", b"x" * 100), pack("a.css", b"y" * 100)
    assert one == again
    # Without the time of the compression.
    assert one.compressed[4:8] == bytes(4)
    assert one.etag != other.etag
    assert gzip.decompress(one.compressed) == one.content == b"x" * 100


def test_type_can_be_given():
    assert pack_as("application/json", b"{}").content_type == "application/json"
