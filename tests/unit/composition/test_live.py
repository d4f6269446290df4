from types import SimpleNamespace
from typing import Any

import pytest

from api.composition.live import _create_link
from api.config import ConfigError
from api.streaming.broker import Broker


@pytest.mark.parametrize(
    "url", ["redis://:x/s3cret@host:6379/0", "redis://:s3cret@host:s3cret/0", "redis://:s3cret@[/0"]
)
def test_invalid_redis_url_is_refused_without_its_password(url: str):
    database: Any = SimpleNamespace(shown="x")
    broker: Any = SimpleNamespace(spec=Broker)
    with pytest.raises(ConfigError) as refused:
        _create_link(url, database, broker, lambda: None)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None
