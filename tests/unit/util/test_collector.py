import gc

import pytest

from api.util.collector import gc_paused


def _fail() -> None:
    assert not gc.isenabled()
    raise ValueError("no")


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_collector_is_restored_in_every_case(is_on: bool):
    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        with pytest.raises(ValueError, match="no"), gc_paused():
            _fail()
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if before else gc.disable)()
