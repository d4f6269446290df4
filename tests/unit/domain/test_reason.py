import pytest

from api.domain.reason import Reason, fill


@pytest.mark.parametrize(("number", "text"), [(0, "0 tasks run"), (1, "1 task runs"), (2, "2 tasks run")])
def test_singular_and_plural_have_different_texts(number: int, text: str):
    reason = Reason.of("{n} {n|task runs|tasks run}", "run", n=number)
    assert (reason.text, reason.said.params) == (text, {"n": number})


def test_placeholders_without_a_parameter_stay():
    assert fill("{n|one|many} of {all}", {"other": 1}) == "{n|one|many} of {all}"
