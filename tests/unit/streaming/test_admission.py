import pytest

from api.errors import TooManyStreams
from api.streaming.admission import Admission


def test_as_many_as_there_may_be_are_admitted():
    admission = Admission(3, 2)
    with admission.admit("a"), admission.admit("a"), admission.admit("b"):
        assert admission.streams == 3


def test_one_too_many_in_all_is_refused():
    admission = Admission(2, 2)
    with admission.admit("a"), admission.admit("b"), pytest.raises(TooManyStreams) as refused, admission.admit("c"):
        pass
    assert refused.value.headers["Retry-After"]
    assert admission.refused == 1


def test_one_too_many_of_a_client_is_refused_and_others_are_not():
    admission = Admission(9, 1)
    with admission.admit("a"):
        with pytest.raises(TooManyStreams), admission.admit("a"):
            pass
        with admission.admit("b"):
            assert admission.streams == 2


def test_room_is_given_back():
    admission = Admission(1, 1)
    for _ in range(3):
        with admission.admit("a"):
            pass
    assert admission.streams == 0


def test_clients_that_have_gone_are_forgotten():
    admission = Admission(9, 9)
    for client in range(100):
        with admission.admit(str(client)):
            pass
    assert not admission._open
