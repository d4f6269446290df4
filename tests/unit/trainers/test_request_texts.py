import pytest

from api.domain.tasks.training import TrainingRequest
from api.trainers.request_texts import RequestText, find_userinfo, list_texts, parse, without_secret_comments


def test_every_string_is_listed_with_its_pointer():
    request = TrainingRequest(
        "flux",
        config={"output_dir": "/o", "model": {"a/b": "one", "rank": 3}, "list": [{"path": "two"}, "three"]},
        dataset={"directories": [{"path": "four"}]},
        env={"HF_HOME": "five"},
    )
    assert {(each.pointer, each.text, each.is_of_dataset) for each in list_texts(request)} == {
        ("/config/model/a~1b", "one", False),
        ("/config/list/0/path", "two", False),
        ("/config/list/1", "three", False),
        ("/dataset/directories/0/path", "four", True),
        ("/env/HF_HOME", "five", False),
    }


def test_strings_in_toml_are_listed():
    request = TrainingRequest(
        "flux", config_toml="dataset = '/d'\n[model]\na = 'one'", dataset_toml="[[directory]]\npath = 'two'"
    )
    assert sorted(list_texts(request), key=lambda each: each.pointer) == [
        RequestText("/config_toml/model/a", "one"),
        RequestText("/dataset_toml/directory/0/path", "two", is_of_dataset=True),
    ]


def test_unreadable_text_has_no_values():
    assert [parse(text) for text in ("a = ", "a = 'x'\n" * 200_000, "[" * 5_000)] == [{}, {}, {}]


TEXT = """# wandb_api_key = "s3cret"
epochs = 1  # HF_TOKEN=s3cret
path = "/data # token=kept"
"""


def test_secrets_in_comments_are_masked_but_not_values():
    masked = without_secret_comments(
        TrainingRequest(model_type="toy", config_toml=TEXT, dataset_toml="# token: s3cret")
    )
    assert (
        masked.config_toml
        == """# wandb_api_key = ***
epochs = 1  # HF_TOKEN=***
path = "/data # token=kept"
"""
    )
    assert masked.dataset_toml == "# token: ***"


def test_secret_of_the_request_is_masked_in_comments_of_both_texts():
    request = TrainingRequest(
        model_type="toy",
        config_toml="[monitoring]\nwandb_api_key = 'abcdefghij'\n# abcdefghij",
        dataset_toml="# not abcdefghij but 0123456789",
        env={"HF_TOKEN": "0123456789"},
    )
    masked = without_secret_comments(request)
    assert masked.config_toml == "[monitoring]\nwandb_api_key = 'abcdefghij'\n# ***"
    assert masked.dataset_toml == "# not *** but ***"


def test_request_without_texts_is_unchanged():
    request = TrainingRequest(model_type="toy", config={"epochs": 1})
    assert without_secret_comments(request) == request


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"config_toml": "a = 'https://u:p@host/x'"}, ["/config_toml"]),
        ({"dataset_toml": "a = 'https://u:p@host/x'"}, ["/dataset_toml"]),
        ({"config": {"model": {"path": ["x", "https://p@host"]}}}, ["/config/model/path/1"]),
        ({"dataset": {"directories": [{"path": "s3://k:s@bucket"}]}}, ["/dataset/directories/0/path"]),
        ({"config_toml": "# https://u:p@host/x\na = 'https://host/x'"}, []),
        ({"config": {"a": "/data/a@b", "b": 1}}, []),
    ],
)
def test_password_in_an_address_is_an_error_at_its_pointer(fields: dict, at: list[str]):
    found = find_userinfo(TrainingRequest(model_type="toy", **fields))
    assert [mistake.pointer for mistake in found] == at
    assert all("p@host" not in mistake.message for mistake in found)
