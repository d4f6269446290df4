import json
from typing import Any

import pytest

from api.jobs.downloads.hub import HubFile, UnreadableAnswer, read_description


def file(**more: Any) -> dict[str, Any]:
    return {"rfilename": "a", "size": 5, **more}


def test_files_are_read_with_the_hubs_hashes():
    git, large = "a" * 40, "b" * 64
    files = [file(blobId=git), file(rfilename="w", lfs={"sha256": large}), file(rfilename="x", size=None)]
    found = read_description(json.dumps({"sha": "c" * 40, "siblings": files}).encode())
    assert found.commit == "c" * 40
    assert found.files == (
        HubFile("a", 5, None, git),
        HubFile("w", 5, large, None),
        HubFile("x", None, None, None),
    )


def test_repeated_path_is_one_file_and_an_invalid_commit_is_ignored():
    found = read_description(json.dumps({"sha": "../../x", "siblings": [file(), file()]}).encode())
    assert (found.commit, len(found.files)) == (None, 1)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"\xff\xfe{{{{", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[1, 2, 3]", "no list of files"),
        (b'{"siblings": 7}', "no list of files"),
        (b'{"siblings": [5]}', "without a name"),
        (json.dumps({"siblings": [file(size=-5)]}).encode(), "size"),
        (json.dumps({"siblings": [file(size=1e30)]}).encode(), "size"),
        (json.dumps({"siblings": [file(size=10**40)]}).encode(), "size"),
        (json.dumps({"siblings": [file(size=True)]}).encode(), "size"),
        (json.dumps({"siblings": [file(lfs=7)]}).encode(), "hash"),
        (json.dumps({"siblings": [file(lfs={"sha256": "zz"})]}).encode(), "hash"),
    ],
)
def test_answer_that_is_not_from_a_hub_is_rejected(answer: bytes, what: str):
    with pytest.raises(UnreadableAnswer, match=what):
        read_description(answer)
