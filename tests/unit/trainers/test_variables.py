import pytest

from api.trainers.environment import ENDPOINTS, FORMS, VARIABLES, VariableKind


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
def test_value_must_match_the_pattern_of_its_kind(kind: VariableKind, good: str, bad: str):
    assert FORMS[kind].fullmatch(good)
    assert not FORMS[kind].fullmatch(bad)


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "WANDB_BASE_URL", "https_proxy", "MASTER_ADDR", "SSL_CERT_FILE"])
def test_endpoint_variables_are_recognised_and_rejected(name: str):
    assert ENDPOINTS.fullmatch(name)
    assert name not in VARIABLES


def test_no_permitted_variable_is_an_endpoint():
    assert not [name for name in VARIABLES if ENDPOINTS.fullmatch(name)]
