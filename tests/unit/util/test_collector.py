import gc

import pytest

from api.util.collector import uncollected


def _fail() -> None:
    assert not gc.isenabled()
    raise ValueError("no")


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_the_collector_is_as_it_was_before_whatever_happens(is_on: bool):
    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        with pytest.raises(ValueError, match="no"), uncollected():
            _fail()
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if before else gc.disable)()
