import pytest

from api.trainers.variables import ENDPOINTS, FORMS, VARIABLES, VariableKind


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (VariableKind.FLAG, "TRUE", "2"),
        (VariableKind.NUMBER, "-1.5", "1e3"),
        (VariableKind.NUMBER, "1", "١"),
        (VariableKind.WORD, "max_split_size_mb:128", "a/b"),
        (VariableKind.TEXT, "a run, of mine", "a\nb"),
        (VariableKind.PATH, "/cache", "cache"),
        (VariableKind.SECRET, "hf_abc", "a b"),
    ],
)
def test_a_value_has_the_form_of_its_kind(kind: VariableKind, good: str, bad: str):
    assert FORMS[kind].fullmatch(good)
    assert not FORMS[kind].fullmatch(bad)


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "WANDB_BASE_URL", "https_proxy", "MASTER_ADDR", "SSL_CERT_FILE"])
def test_where_things_are_sent_is_known_as_such_and_may_not_be_set(name: str):
    assert ENDPOINTS.fullmatch(name)
    assert name not in VARIABLES


def test_no_variable_that_may_be_set_says_where_things_are_sent():
    assert not [name for name in VARIABLES if ENDPOINTS.fullmatch(name)]
