from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.checkout import is_commit, read_commit

COMMIT = "8f83dbf0" * 5


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": f"{COMMIT}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": f"{COMMIT}\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": f"# pack\n{COMMIT} refs/heads/main\n"},
        {".git": "gitdir: elsewhere\n", "elsewhere/HEAD": COMMIT},
        {
            ".git": "gitdir: all/worktrees/w\n",
            "all/worktrees/w/HEAD": "ref: refs/heads/w",
            "all/worktrees/w/commondir": "../..\n",
            "all/refs/heads/w": COMMIT,
        },
    ],
)
def test_commit_is_read_from_every_git_location(tmp_path: Path, files: dict[str, str]):
    assert read_commit(make(tmp_path, files)) == COMMIT


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".git/HEAD": "ref: refs/heads/none"},
        {".git/HEAD": "ref: refs/../../x", "x": COMMIT},
        {".git/HEAD": "not a commit"},
        {".git/HEAD": "\u00e9" * 40},
        {".git": "gitdir: nowhere"},
    ],
)
def test_undeterminable_commit_is_none(tmp_path: Path, files: dict[str, str]):
    assert read_commit(make(tmp_path, files)) is None


def test_commits_are_hexadecimal():
    assert is_commit(COMMIT)
    assert not is_commit(COMMIT[:-1])
