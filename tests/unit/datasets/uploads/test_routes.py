from datetime import UTC, datetime

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from api.datasets.uploads.routes import progress_headers, read_length, read_metadata, write_metadata
from api.domain.datasets.upload import UploadStatus, UploadView
from api.errors import MalformedRequest

APP = Flask(__name__)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(header: str) -> dict[str, str]:
    with APP.test_request_context(headers={"Upload-Metadata": header}):
        return read_metadata()


@given(st.dictionaries(st.from_regex(r"[a-zA-Z0-9.-]{1,20}", fullmatch=True), st.text(max_size=50), max_size=8))
def test_written_metadata_is_read(values: dict[str, str]):
    values = {name: value.replace("\0", "").encode("utf-8", "replace").decode() for name, value in values.items()}
    assert read(write_metadata(values)) == values


def test_name_may_have_no_value():
    assert read("is_private,filename eC5wbmc=") == {"is_private": "", "filename": "x.png"}
    assert read("") == {}


@pytest.mark.parametrize("header", ["x !", "x \xff", "x eA==,x eA==", "x gA==", ",", "x,,y", "x AA==", "x" * 9000])
def test_invalid_metadata_is_refused(header: str):
    with pytest.raises(MalformedRequest):
        read(header)


@pytest.mark.parametrize("text", [None, "", "x", "-5", "5.0", "1" * 19])
def test_size_must_be_a_number_of_bytes(text: str | None):
    headers = {} if text is None else {"Upload-Length": text}
    with APP.test_request_context(headers=headers), pytest.raises(MalformedRequest):
        read_length()


def test_offset_and_length_are_in_headers():
    view = UploadView("x", UploadStatus.RECEIVING, None, None, None, None, 5, None, None, None, None, NOW, NOW, NOW)
    result = progress_headers(view)
    assert result["Upload-Offset"] == "5"
    assert result["Upload-Expires"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert "Upload-Length" not in result
