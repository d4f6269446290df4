"""Target datasets of requests."""

from dataclasses import replace

import pytest

from api.datasets.targets import find_writable
from api.domain.access.principal import LOCAL, Credential
from api.domain.access.read_scope import ReadScope, seeing
from api.errors import DatasetExists, DatasetIsRegistered, NotYours
from tests.unit.datasets.conftest import Shelf

ANN = replace(LOCAL, user_id="ann", credential=Credential.KEY)
BOB = replace(ANN, user_id="bob", permissions=frozenset())


def test_own_dataset_is_found_and_a_free_name_is_none(shelf: Shelf):
    made = shelf.make("cats")
    assert find_writable(shelf.service, "cats", ANN) == made
    assert find_writable(shelf.service, "dogs", ANN) is None


def test_dataset_of_another_user_is_rejected_unless_the_caller_may_write_to_all(shelf: Shelf):
    made = shelf.make("cats", BOB)
    assert find_writable(shelf.service, "cats", ANN) == made
    with pytest.raises(NotYours):
        find_writable(shelf.service, "cats", replace(BOB, user_id="eve"))


def test_hidden_dataset_is_a_conflict(shelf: Shelf):
    shelf.make("cats", BOB)
    with seeing(ReadScope("ann", sees_all=False)), pytest.raises(DatasetExists):
        find_writable(shelf.service, "cats", ANN)


def test_registered_directory_is_not_written_to(shelf: Shelf):
    shelf.make("media", directory="/srv/media")
    with pytest.raises(DatasetIsRegistered):
        find_writable(shelf.service, "media", ANN)
