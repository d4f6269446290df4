from api.domain.training import TrainingRequest
from api.trainers.request_texts import RequestText, list_texts, parse


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
