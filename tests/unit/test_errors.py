import re
from collections.abc import Iterator

import pytest

from api import errors
from api.errors import Finding, GPUBusy, ServiceError

#: Words that the style guide replaces.
DIALECT = re.compile(
    r"\b(wish(es|ed)?|harvest|deeds?|stray|sight|told|tells?|says?|place|whoever|nobody|somebody|who|is had|to be had|"
    r"there is none|shall|mend(ed)?|begun anew|given up|kept|rooms?|words?|gone|means)\b",
    re.IGNORECASE,
)


def kinds() -> list[type[ServiceError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]


def draw(kind: type[ServiceError], depth: int = 0) -> Iterator[str]:
    """Yield the lines of the tree below this class, in the format of the docstring of `api.errors`."""
    yield f"{'  ' * depth}{kind.__name__}".ljust(34) + f"{kind.status} {kind.code}"
    for below in sorted((each for each in kinds() if kind in each.__bases__), key=lambda each: each.__name__):
        yield from draw(below, depth + 1)


def test_every_error_has_a_stable_code_and_a_failing_status():
    codes = [kind for kind in kinds() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)]
    assert (codes, [kind for kind in kinds() if not 400 <= kind.status <= 599]) == ([], [])


def test_every_message_has_one_to_three_plain_sentences():
    for kind in kinds():
        assert re.fullmatch(r"[A-Z].*\.", kind.message), kind
        assert 1 <= len(re.findall(r"\.(?= [A-Z]|$)", kind.message)) <= 3, kind
        assert DIALECT.findall(kind.message) == [], kind


def test_no_docstring_is_the_message():
    assert [kind for kind in kinds() if kind.__doc__ in (None, "", kind.message)] == []


@pytest.mark.parametrize("attribute", ["code", "message"])
def test_no_two_errors_share_a_code_or_a_message(attribute: str):
    # An error without its own code is reported as its parent.
    own = [getattr(kind, attribute) for kind in kinds() if attribute in vars(kind)]
    assert len(own) == len(set(own))


def test_error_with_a_code_needs_a_message():
    with pytest.raises(TypeError, match="Wordless"):
        type("Wordless", (ServiceError,), {"code": "wordless"})


def test_tree_shows_every_error():
    assert "\n".join(draw(ServiceError)) in (errors.__doc__ or "")


def test_hidden_task_looks_like_a_missing_one():
    hidden, absent = errors.HiddenTask(), errors.TaskNotFound()
    assert (hidden.code, hidden.status, hidden.detail) == (absent.code, absent.status, absent.detail)


def test_message_is_the_default_detail():
    assert GPUBusy().detail == str(GPUBusy()) == GPUBusy.message
    assert GPUBusy("GPU 3 is busy.").detail == "GPU 3 is busy."


def test_error_carries_data_and_headers():
    mistake = Finding("/a", "b")
    error = GPUBusy(data={"available_gpus": [1]}, mistakes=[mistake], headers={"Retry-After": "5"})
    assert (error.data, error.mistakes, error.headers) == (
        {"available_gpus": [1]},
        (mistake,),
        {"Retry-After": "5"},
    )
