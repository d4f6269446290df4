import json

import pytest

from api.jobs.pushes.wish import PushWish
from tests.local_hub import LocalHub
from tests.unit.jobs.pushes.builders import wish_for


def test_wish_comes_back_as_it_was_kept():
    wish = wish_for(LocalHub(address="http://hub"), allowed_hosts=("hub",))
    assert PushWish.from_json(json.loads(json.dumps(wish.as_json()))) == wish


def test_wish_with_another_rule_for_its_card_is_refused():
    with pytest.raises(ValueError, match="perhaps"):
        PushWish.from_json({**wish_for(LocalHub()).as_json(), "card": "perhaps"})
