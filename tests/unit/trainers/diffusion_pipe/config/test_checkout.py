from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.config.checkout import TORCH_FILE, is_commit, read_commit, read_recorded

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


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"2.7.1+cu128\n", "2.7.1+cu128"), (b"\n", None), (b"a\x1bb", None), ("2.7é".encode(), None), (b"2" * 300, None)],
)
def test_what_an_attempt_recorded_is_read_with_care(tmp_path: Path, content: bytes, expected: str | None):
    assert read_recorded(tmp_path, TORCH_FILE) is None
    (tmp_path / TORCH_FILE).write_bytes(content)
    assert read_recorded(tmp_path, TORCH_FILE) == expected
