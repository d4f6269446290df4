import gzip

import pytest

from api.util.packed_files import CONTENT_TYPES, pack, pack_as


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
