import json

import pytest

from api.jobs.pushes.request import PushRequest
from tests.local_hub import LocalHub
from tests.unit.jobs.pushes.builders import request_for


def test_request_survives_json():
    request = request_for(LocalHub(address="http://hub"), allowed_hosts=("hub",))
    assert PushRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


def test_unknown_card_rule_is_rejected():
    with pytest.raises(ValueError, match="perhaps"):
        PushRequest.from_json({**request_for(LocalHub()).as_json(), "card": "perhaps"})
