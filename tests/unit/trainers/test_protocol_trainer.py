from pathlib import Path

from api.trainers.protocol_trainer import RunProtocol

PROTOCOL = RunProtocol()


def test_newest_run_directory_is_found(tmp_path: Path):
    for name in ("20250212_07-06-40", "20250213_00-00-00", "20250101_00-00-00", "cache", "99999999"):
        (tmp_path / name).mkdir()
    assert PROTOCOL.find_run_dir(tmp_path) == tmp_path / "20250213_00-00-00"


def test_links_and_files_are_not_run_directories(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "20250212_07-06-40").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "20250213_07-06-40").touch()
    assert PROTOCOL.find_run_dir(tmp_path) is None


def test_missing_output_directory_has_no_run_directory(tmp_path: Path):
    assert PROTOCOL.find_run_dir(tmp_path / "nowhere") is None


def test_stop_is_requested_in_the_run_directory(tmp_path: Path):
    assert PROTOCOL.signal_file(tmp_path) == tmp_path / "save_quit"


def test_checkpoint_is_requested_in_the_run_directory(tmp_path: Path):
    assert PROTOCOL.save_file(tmp_path) == tmp_path / "save"
