import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import ArtifactNotFound
from api.training.output import artifacts
from api.training.output.artifacts import list_artifacts, open_artifact
from tests.unit.util.foreign import Plant, each_plant


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output directory with a secret beside it, and links to the secret."""
    parent = tmp_path_factory.mktemp("task")
    output = parent / "output"
    (output / "run" / "global_step10").mkdir(parents=True)
    (output / "run" / "global_step10" / "state").write_text("s")
    (output / "file").write_text("inside")
    (parent / "secret").write_text("SECRET")
    (output / "link").symlink_to("../secret")
    (output / "up").symlink_to("..")
    (output / "run" / "root").symlink_to("/")
    os.mkfifo(output / "pipe")
    return output


def content(root: Path, path: str) -> bytes | None:
    try:
        file = open_artifact(root, path, "t")
    except ArtifactNotFound:
        return None
    with os.fdopen(file.descriptor, "rb") as opened:
        return opened.read()


def test_file_is_opened_with_its_size(root: Path):
    file = open_artifact(root, "run/global_step10/state", "t")
    os.close(file.descriptor)
    assert (file.name, file.size) == ("state", 1)


@pytest.mark.parametrize(
    "path", ["link", "up/secret", "up/output/file", "run/root/etc/passwd", "pipe", "run", "absent"]
)
def test_missing_or_irregular_file_is_not_found(root: Path, path: str):
    assert content(root, path) is None


PARTS = st.sampled_from(["..", ".", "", "file", "run", "up", "link", "root", "output", "secret", "etc", "passwd", "\0"])


@settings(max_examples=300, deadline=None)
@given(path=st.lists(PARTS, max_size=6).map("/".join) | st.text(max_size=20))
def test_no_path_leaves_the_directory(root: Path, path: str):
    assert content(root, path) == (b"inside" if path == "file" else None)


def test_rejection_leaves_no_file_open(root: Path):
    before = len(os.listdir("/proc/self/fd"))
    for path in ("link", "up/secret", "pipe", "run", "run/global_step10", "absent", "run/absent/x"):
        assert content(root, path) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_list_is_sorted_and_has_only_files(root: Path):
    assert [one.path for one in list_artifacts(root, {}, "t")] == ["file", "run/global_step10/state"]


def test_unknown_checkpoint_is_not_complete(root: Path):
    assert [one.is_complete for one in list_artifacts(root, {}, "t")] == [True, False]
    assert [one.is_complete for one in list_artifacts(root, {"global_step10": True}, "t")] == [True, True]
    assert [one.is_complete for one in list_artifacts(root, {"global_step10": False}, "t")] == [True, False]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("r/global_step5/mp_rank_00_model_states.pt", "checkpoint"),
        ("r/global_step5/x.safetensors", "checkpoint"),
        ("r/latest", "checkpoint"),
        ("r/epoch1/adapter_model.safetensors", "model"),
        ("r/epoch1/adapter_config.json", "model"),
        ("r/epoch1/config.toml", "config"),
        ("r/samples/a.png", "sample"),
        ("r/samples/a.mp4", "sample"),
        ("r/events.out.tfevents.1.h.1.0", "events"),
        ("r/x.json", "other"),
    ],
)
def test_kind_of_a_file_depends_on_its_name(tmp_path: Path, path: str, kind: str):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.touch()
    assert [one.kind for one in list_artifacts(tmp_path, {}, "t")] == [kind]


def test_files_that_are_being_written_are_not_listed(tmp_path: Path):
    for name in (".export_1.unfinished/adapter_model.safetensors", "run/.a", "run/save", "run/.x/y", "run/a.b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [one.path for one in list_artifacts(tmp_path, {}, "t")] == ["run/a.b"]


def test_name_that_is_not_utf8_can_be_listed_and_opened(tmp_path: Path):
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / os.fsdecode(b"\xff") / os.fsdecode(b"a\xfe")).write_bytes(b"inside")
    (shown,) = [one.path for one in list_artifacts(tmp_path, {}, "t")]
    assert shown == "\ufffd/a\ufffd"
    assert content(tmp_path, shown) == b"inside"


def test_file_with_an_impossible_time_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Only some file systems can store such a time.
    status = os.stat_result((0o100644, 0, 0, 1, 0, 0, 5, 0, 10**15, 0))
    monkeypatch.setattr(artifacts, "walk", lambda root, levels, most: [("a", status)])
    assert list_artifacts(tmp_path, {}, "t")[0].modified_at.year == 9999


def test_list_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(artifacts, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert len(list_artifacts(tmp_path, {}, "t")) == 3


def test_missing_directory_has_no_files(tmp_path: Path):
    assert list_artifacts(tmp_path / "absent", {}, "t") == []
    assert content(tmp_path / "absent", "x") is None


@each_plant
def test_only_regular_files_are_artifacts(tmp_path: Path, plant: Plant):
    (tmp_path / "run").mkdir()
    plant(tmp_path / "run" / "sample.png")
    listed = {artifact.path for artifact in list_artifacts(tmp_path, {}, "t")}
    if "run/sample.png" not in listed:
        with pytest.raises(ArtifactNotFound):
            open_artifact(tmp_path, "run/sample.png", "t")


def test_endless_directories_are_listed_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(artifacts, "MAX_ENTRIES", 50)
    for number in range(100):
        (tmp_path / str(number) / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert len(list_artifacts(tmp_path, {}, "t")) <= 1


def test_file_with_an_extreme_time_is_listed(tmp_path: Path):
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", ns=(-(10**18), -(10**18)))
    assert [artifact.modified_at.year for artifact in list_artifacts(tmp_path, {}, "t")] == [1970]
