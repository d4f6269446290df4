import re

import pytest

from api import errors
from api.errors import GPUBusy, Mistake, ServiceError


def kinds() -> list[type[ServiceError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]


@pytest.mark.parametrize("kind", kinds())
def test_error_has_a_stable_word_and_a_failing_status(kind: type[ServiceError]):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert 400 <= kind.status <= 599


@pytest.mark.parametrize("kind", kinds())
def test_docstring_is_the_default_message(kind: type[ServiceError]):
    assert kind().detail == (kind.__doc__ or "").strip()
    assert str(kind()) == kind().detail != ""


def test_no_two_errors_share_a_word():
    # One without a word of its own shall look like its parent.
    codes = [kind.code for kind in kinds() if "code" in vars(kind)]
    assert len(codes) == len(set(codes))


def test_task_that_is_hidden_is_answered_as_one_that_does_not_exist():
    hidden, absent = errors.HiddenTask(), errors.TaskNotFound()
    assert (hidden.code, hidden.status, hidden.detail) == (absent.code, absent.status, absent.detail)


def test_detail_replaces_the_docstring():
    assert GPUBusy("GPU 3 is busy.").detail == "GPU 3 is busy."


def test_error_carries_what_helps_the_caller():
    mistake = Mistake("/a", "b")
    error = GPUBusy(data={"available_gpus": [1]}, mistakes=[mistake], headers={"Retry-After": "5"})
    assert (error.data, error.mistakes, error.headers) == (
        {"available_gpus": [1]},
        (mistake,),
        {"Retry-After": "5"},
    )
