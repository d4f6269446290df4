import pytest

from api.alerts.known_ids import check_id
from api.errors import AlertNotFound


@pytest.mark.parametrize("text", ["", "a\0b", "../x", "a b", "x" * 200])
def test_invalid_id_is_not_found(text: str):
    with pytest.raises(AlertNotFound, match="No silence has this id"):
        check_id(text, "silence")


def test_valid_id_passes():
    check_id("alert_20260101_0a1b2c3d", "alert")
