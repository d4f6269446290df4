import pytest

from api.errors import TooManyStreams
from api.streaming.admission import Admission


def test_streams_up_to_the_limit_are_admitted():
    admission = Admission(3, 2)
    with admission.admit("a"), admission.admit("a"), admission.admit("b"):
        assert admission.streams == 3


def test_stream_above_the_total_limit_is_rejected():
    admission = Admission(2, 2)
    with admission.admit("a"), admission.admit("b"), pytest.raises(TooManyStreams) as refused, admission.admit("c"):
        pass
    assert refused.value.headers["Retry-After"]
    assert admission.refused == 1


def test_stream_above_the_clients_limit_is_rejected_and_others_are_not():
    admission = Admission(9, 1)
    with admission.admit("a"):
        with pytest.raises(TooManyStreams), admission.admit("a"):
            pass
        with admission.admit("b"):
            assert admission.streams == 2


def test_closed_stream_frees_its_slot():
    admission = Admission(1, 1)
    for _ in range(3):
        with admission.admit("a"):
            pass
    assert admission.streams == 0


def test_clients_without_streams_are_forgotten():
    admission = Admission(9, 9)
    for client in range(100):
        with admission.admit(str(client)):
            pass
    assert not admission._open
