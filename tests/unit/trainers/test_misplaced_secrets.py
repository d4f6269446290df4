import pytest

from api.domain.training import TrainingRequest
from api.trainers.misplaced_secrets import find_userinfo, without_secret_comments

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
