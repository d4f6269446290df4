import tomllib

from api.trainers.toml_text import write_dataset


def test_structured_directories_become_tables_of_the_trainers_file():
    text = write_dataset(None, {"resolutions": [512], "directories": [{"path": "/a b"}]})
    assert text is not None
    assert tomllib.loads(text) == {"resolutions": [512], "directory": [{"path": "/a b"}]}


def test_text_of_a_request_is_unchanged():
    text = "# mine\n[[directory]]\npath = '/a'\n"
    assert write_dataset(text, {"directory": []}) == text


def test_values_that_the_trainer_cannot_read_give_no_file():
    assert write_dataset(None, {"resolutions": [512, "all"]}) is None
