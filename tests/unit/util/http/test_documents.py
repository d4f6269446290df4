import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.util.http.documents import (
    COMPRESS_FROM,
    Address,
    Document,
    DocumentTable,
    accepts_gzip,
    reply_with,
    wants_openmetrics,
)

LARGE = b'{"a": 1}' * 500


def document(body: bytes = b"{}", **options: object) -> Document:
    return Document(body, **options)


def headers_of(reply: tuple[int, list[tuple[bytes, bytes]], bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in reply[1]}


def test_same_body_has_the_same_etag():
    assert document().etag == document().etag
    assert document(b"[]").etag != document().etag


def test_etag_is_weak_and_quoted():
    assert document().etag.startswith('W/"')
    assert document().etag.endswith('"')


@pytest.mark.parametrize("form", ["{}", "W/{}", 'W/"x", W/{}', '"x",{}', " {} ", "*", '"x", *'])
def test_document_of_the_client_matches(form: str):
    tag = document().etag.removeprefix("W/")
    assert document().matches(form.format(tag))


@pytest.mark.parametrize("text", ["", '"x"', "W/", '"', ",", "**"])
def test_other_tag_does_not_match(text: str):
    assert not document().matches(text)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip", True),
        ("gzip;q=0.5", True),
        ("gzip; q=0.001", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("*;q=0, gzip", True),
        ("gzip, *;q=0", True),
        ("gzip;q=0, *", False),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*;q=0", False),
        ("xgzip", False),
    ],
)
def test_gzip_is_accepted_as_the_header_says(header: str, accepted: bool):
    assert accepts_gzip(header) is accepted


@given(st.text())
def test_any_header_is_accepted(text: str):
    assert accepts_gzip(text) in (True, False)
    assert document().matches(text) in (True, False)


def test_body_is_compressed_only_if_that_saves_space():
    assert document(b"x" * (COMPRESS_FROM - 1)).compressed is None
    assert document(b"x" * COMPRESS_FROM).compressed is not None


def test_compressed_body_is_created_once():
    large = document(LARGE)
    assert large.compressed is large.compressed
    assert gzip.decompress(large.compressed or b"") == LARGE


def test_age_is_in_whole_seconds_and_never_negative():
    read = document(read_monotonic=100.0)
    assert [read.age(now) for now in (99.0, 100.0, 100.9, 101.0, 175.5)] == [0, 0, 0, 1, 75]


def test_document_without_a_reading_has_no_age():
    assert document().age(5.0) is None
    assert "age" not in headers_of(reply_with(document(), "", "", 5.0))


def test_reply_is_the_complete_document():
    status, _, body = reply = reply_with(document(LARGE, read_monotonic=1.0), "", "", 3.0)
    assert (status, body) == (200, LARGE)
    assert headers_of(reply) == {
        "etag": document(LARGE).etag,
        "cache-control": "no-cache",
        "vary": "Accept-Encoding",
        "age": "2",
        "content-type": "application/json",
        "content-length": str(len(LARGE)),
    }


def test_compressed_reply_has_its_header():
    status, _, body = reply = reply_with(document(LARGE), "", "gzip", 0.0)
    headers = headers_of(reply)
    assert (status, gzip.decompress(body)) == (200, LARGE)
    assert (headers["content-encoding"], headers["content-length"]) == ("gzip", str(len(body)))


def test_reply_to_its_etag_has_no_body_and_no_type():
    held = document(LARGE, read_monotonic=1.0)
    status, _, body = reply = reply_with(held, held.etag, "gzip", 3.0)
    assert (status, body) == (304, b"")
    assert set(headers_of(reply)) == {"etag", "cache-control", "vary", "age"}


def test_document_is_ready_after_its_first_request():
    table = DocumentTable({"/a": Address("/<a>", document)})
    assert table.ready("/a") is None
    made = table.get("/a")
    ready = table.ready("/a")
    assert ready is not None
    assert (ready.document, ready.route) == (made, "/<a>")


def test_unknown_path_has_no_document():
    table = DocumentTable({"/a": Address("/a", document)})
    assert (table.get("/b"), table.ready("/b")) == (None, None)
    assert table.paths == ("/a",)


def test_paths_that_share_a_factory_share_its_document():
    made: list[int] = []

    def make() -> Document:
        made.append(1)
        return document()

    table = DocumentTable({"/a": Address("/a", make), "/b": Address("/b", make)})
    table.make_all()
    first, second = table.ready("/a"), table.ready("/b")
    assert first is not None
    assert second is not None
    assert first.document is second.document
    assert (first.route, second.route) == ("/a", "/b")
    assert made == [1]


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
            True,
        ),
        ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain; q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=9e99", False),
        ("application/openmetrics-text-not", False),
    ],
)
def test_openmetrics_is_for_clients_that_prefer_it(accept: str, wants: bool):
    assert wants_openmetrics(accept) is wants


def test_document_with_two_forms_is_created_on_request_and_never_ready():
    one, other = document(b"plain"), document(b"open")
    table = DocumentTable({"/a": Address("/a", lambda: one, lambda: other)})
    table.make_all()
    assert table.get("/a", "application/openmetrics-text") is other
    assert table.get("/a") is one
    assert table.ready("/a") is None
