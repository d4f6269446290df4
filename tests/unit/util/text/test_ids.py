import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from api.errors import TaskNotFound
from api.util.text.ids import check_task_id, is_safe_id, new_request_id, new_task_id

NOW = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["train", "preprocess", "dl", "ext"])
def test_task_id_is_kind_date_and_eight_characters(kind: str):
    assert re.fullmatch(rf"{kind}_20261124_[0-9a-z]{{8}}", new_task_id(kind, NOW))


def test_task_ids_differ():
    assert len({new_task_id("train", NOW) for _ in range(1000)}) == 1000


def test_task_id_spells_no_word():
    text = "".join(new_task_id("", NOW)[10:] for _ in range(500))
    assert not set(text) & set("aeiouly")


def test_request_ids_differ_between_threads():
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_request_id(), range(2000)))
    assert len(set(ids)) == 2000


def test_new_ids_are_safe():
    assert is_safe_id(new_request_id())
    assert is_safe_id(new_task_id("train", NOW))


@pytest.mark.parametrize("text", ["a", "0", "a" * 128, "req-1.2:3_4", "6f1c9a0e-8d0b-4f9e-bb0a-5e5f6c9a0e11"])
def test_harmless_id_is_safe(text: str):
    assert is_safe_id(text)


@pytest.mark.parametrize("text", ["", "-a", ".a", "../a", "a b", "a\n", "a/b", "a\\b", "é", "a" * 129, "a\x00", "a;b"])
def test_harmful_id_is_not_safe(text: str):
    assert not is_safe_id(text)
    with pytest.raises(TaskNotFound):
        check_task_id(text)
