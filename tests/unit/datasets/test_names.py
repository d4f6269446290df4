import pytest

from api.datasets.names import DatasetReference, parse_reference, parse_version
from api.errors import VersionNotFound

MANIFEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cats", DatasetReference("cats")),
        ("cats@3", DatasetReference("cats", "3")),
        (f"cats@{MANIFEST}", DatasetReference("cats", MANIFEST)),
        ("/data/cats", None),
        ("", None),
        ("@3", None),
        ("cats@", None),
    ],
)
def test_reference_has_a_name_and_an_optional_version(text: str, expected: DatasetReference | None):
    assert parse_reference(text) == expected
    assert expected is None or str(expected) == text


@pytest.mark.parametrize(("text", "expected"), [(None, None), ("latest", None), ("7", 7), (MANIFEST, "a" * 64)])
def test_version_is_a_number_a_manifest_or_the_newest(text: str | None, expected: int | str | None):
    assert parse_version(text) == expected


@pytest.mark.parametrize("text", ["", "0", "1.0", "٣", "sha256:" + "A" * 64, "9" * 20, "newest"])
def test_invalid_version_is_reported(text: str):
    with pytest.raises(VersionNotFound, match="is not a version"):
        parse_version(text)
