import pytest

from api.datasets.uploads.metadata import check_dataset_name, check_filename, kind_of, read_batch, read_metadata
from api.domain.datasets.upload import UploadBatch, UploadKind
from api.errors import Invalid


def test_dataset_name_is_checked():
    assert check_dataset_name("cats-2.1", "/x") == []
    assert [each.pointer for each in check_dataset_name("a b", "/x") + check_dataset_name(None, "/y")] == ["/x", "/y"]
    assert [each.message for each in check_filename("a\\b", "/x")] == [
        '"a\\b" has an absolute path, a drive or a backslash in its name'
    ]


def test_kind_is_detected_from_the_first_bytes():
    assert (kind_of(b"PK\x03\x04"), kind_of(b"PNG")) == (UploadKind.ARCHIVE, UploadKind.ITEM)


def test_all_errors_are_reported_together():
    with pytest.raises(Invalid) as rejected:
        read_metadata({"dataset": "a b", "filename": "../x", "kind": "film"})
    assert len(rejected.value.mistakes) == 3
    assert read_metadata({"dataset": "cats", "relativePath": "a/x.png", "kind": "null"}) == ("cats", "a/x.png", None)


def test_batch_has_a_name_and_a_size():
    assert read_batch({}) is None
    assert read_batch({"batch": "a-1", "batch_size": "12"}) == UploadBatch("a-1", 12)
    assert read_batch({"batch": "null", "batch_size": "null"}) is None


@pytest.mark.parametrize(
    ("batch", "pointer"),
    [
        ({"batch": "a"}, "batch_size"),
        ({"batch_size": "3"}, "batch"),
        ({"batch": "a b", "batch_size": "3"}, "batch"),
        ({"batch": "a", "batch_size": "0"}, "batch_size"),
        ({"batch": "a", "batch_size": "9" * 5000}, "batch_size"),
        ({"batch": "a", "batch_size": "²"}, "batch_size"),
    ],
)
def test_incomplete_batch_metadata_is_rejected(batch: dict[str, str], pointer: str):
    with pytest.raises(Invalid) as rejected:
        read_batch(batch)
    assert [each.pointer for each in rejected.value.mistakes] == [f"/Upload-Metadata/{pointer}"]
