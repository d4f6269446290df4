import pytest

from api.util import extras
from api.util.extras import describe_missing


@pytest.mark.parametrize("extra", ["scenes", "celery", "otel"])
def test_installed_extra_is_not_missing(extra: str):
    assert describe_missing(extra, "This") is None


def test_missing_extra_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    text = describe_missing("scenes", "Cutting by scene")
    assert text == "Cutting by scene needs `make install EXTRAS=scenes` (with pip: diffusion-pipe-api[scenes])"


def test_extra_is_missing_without_its_parent_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(extras._MODULES, "otel", "no_such_package.sdk")
    assert describe_missing("otel", "Tracing") is not None
