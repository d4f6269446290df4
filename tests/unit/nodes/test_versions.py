import pytest

from api.nodes.versions import warn


@pytest.mark.parametrize(
    ("version", "offset", "codes"),
    [
        ("1.2.0", 0.3, []),
        ("1.3.0", None, ["newer_version"]),
        ("1.1.9", None, ["older_version"]),
        ("1.2.0", -2.5, ["clock_skew"]),
        ("1.2.0.dev1+g123", None, []),
        ("nightly", 2.0, []),
        (None, 7200.0, ["clock_skew"]),
    ],
)
def test_different_versions_and_clocks_cause_warnings(version: str, offset: float, codes: list[str]):
    assert [warning.code for warning in warn(version, offset, own="1.2.0")] == codes
