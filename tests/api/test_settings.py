"""Settings that are changed without a restart: the environment wins, and every server rereads the database."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from api.db.tables import stored_settings
from api.domain.access.principal import Role
from api.system.settings_service import REREAD_SECONDS
from tests.api.client import failure_of
from tests.api.conftest import MakeWorld, World, open_world
from tests.api.test_nodes import send_report
from tests.databases import BACKENDS, FEW, fresh_postgres

SETTINGS = "/api/v1/settings"


def setting(world: World, key: str) -> dict[str, Any]:
    (found,) = [each for each in world.client.data(SETTINGS)["settings"] if each["key"] == key]
    shown: dict[str, Any] = found
    return shown


def change(world: World, **values: Any) -> Any:
    return world.client.patch(SETTINGS, json={"values": values})


def refusal(world: World, **values: Any) -> str:
    """Return the message of the only mistake."""
    answered = change(world, **values)
    assert answered.status_code == 422, answered.text
    (mistake,) = failure_of(answered)["error"]["errors"]
    assert mistake["pointer"] == f"/values/{next(iter(values))}"
    message: str = mistake["message"]
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "media"
    made.mkdir()
    return made


def test_stored_value_is_used_at_once_and_null_removes_it(world: World):
    assert setting(world, "MAX_CONCURRENT_TASKS")["source"] == "default"
    assert change(world, MAX_CONCURRENT_TASKS=1).status_code == 200
    shown = setting(world, "MAX_CONCURRENT_TASKS")
    assert (shown["value"], shown["source"], shown["updated_by"]) == (1, "database", "api")
    world.run()
    second = world.start()
    world.train()
    assert world.get(second)["status"] == "queued"
    assert change(world, MAX_CONCURRENT_TASKS=None).status_code == 200
    world.train()
    assert world.get(second)["status"] == "starting"


def test_environment_wins_and_the_refusal_names_it(make_world: MakeWorld, folder: Path):
    world = make_world(models_directories=(folder,))
    shown = setting(world, "MODELS_DIRECTORIES")
    assert (shown["source"], shown["fixed_by"], shown["value"]) == ("environment", "MODELS_DIRECTORIES", [str(folder)])
    answered = change(world, MAX_CONCURRENT_TASKS=3, MODELS_DIRECTORIES=None)
    assert answered.status_code == 409
    failure = failure_of(answered)
    assert (failure["error"]["code"], failure["data"]["fixed_by"]) == ("setting_fixed", "MODELS_DIRECTORIES")
    assert setting(world, "MAX_CONCURRENT_TASKS")["source"] == "default"


def test_value_that_the_environment_sets_later_is_not_used(make_world: MakeWorld):
    change(make_world(), MAX_CONCURRENT_TASKS=3)
    world = make_world(max_concurrent_tasks=7)
    assert setting(world, "MAX_CONCURRENT_TASKS")["value"] == 7


def test_default_that_the_environment_sets_expressly_wins_too(make_world: MakeWorld):
    world = make_world(given=frozenset({"caption_model"}))
    assert setting(world, "CAPTION_MODEL")["fixed_by"] == "CAPTION_MODEL"


def test_stored_value_survives_a_restart(make_world: MakeWorld, folder: Path):
    change(make_world(), DATASET_DIRECTORIES=[str(folder)])
    assert setting(make_world(), "DATASET_DIRECTORIES")["value"] == [str(folder)]


@pytest.fixture(params=BACKENDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, World]]:
    """Two servers on one database and one storage."""
    with ExitStack() as stack:
        settings = {}
        if request.param == "postgresql":
            settings = {"database_url": stack.enter_context(fresh_postgres()), "database_pool_size": FEW}
        yield tuple(open_world(stack, tmp_path / "storage", **settings) for _ in range(2))  # type: ignore[misc]


def test_other_servers_reread_the_database(pair: tuple[World, World], folder: Path):
    first, second = pair
    change(first, DATASET_DIRECTORIES=[str(folder)], CAPTION_KEY="sk-secret", CAPTION_ENDPOINT="http://127.0.0.1:1/v1")
    second.runtime.settings.reread()
    for world in pair:
        assert setting(world, "DATASET_DIRECTORIES")["value"] == [str(folder)]
        assert setting(world, "CAPTION_KEY")["value"] == "***"
        assert world.runtime.settings.current.caption_key == "sk-secret"
    assert "sk-secret" not in first.client.get(SETTINGS).text
    made = second.client.post("/api/v1/datasets", json={"name": "media", "directory": str(folder)})
    assert made.status_code == 201, made.text
    change(second, DATASET_DIRECTORIES=[])
    first.runtime.settings.reread()
    assert setting(first, "DATASET_DIRECTORIES")["source"] == "default"


def test_servers_reread_within_five_seconds():
    assert REREAD_SECONDS <= 4


def test_new_caption_address_forgets_the_key_of_the_old_one(world: World):
    change(world, CAPTION_ENDPOINT="http://127.0.0.1:1/v1", CAPTION_KEY="k1")
    change(world, CAPTION_ENDPOINT="http://127.0.0.1:1/v1")
    assert setting(world, "CAPTION_KEY")["value"] == "***"
    change(world, CAPTION_ENDPOINT="http://127.0.0.1:2/v1")
    assert setting(world, "CAPTION_KEY")["value"] is None
    change(world, CAPTION_ENDPOINT="http://127.0.0.1:3/v1", CAPTION_KEY="k3")
    assert setting(world, "CAPTION_KEY")["value"] == "***"


def test_key_file_of_the_environment_is_not_sent_to_another_address(make_world: MakeWorld, tmp_path: Path):
    world = make_world(caption_key_file=tmp_path / "key")
    assert change(world, CAPTION_ENDPOINT="http://10.0.0.1/v1").status_code == 409
    assert setting(world, "CAPTION_ENDPOINT")["fixed_by"] == "CAPTION_KEY_FILE"


def test_notification_address_becomes_a_channel_and_is_deleted_with_it(world: World):
    change(world, NOTIFY_URL="ntfys://:s3cret@ntfy.example.org/gpus")
    (channel,) = world.client.data("/api/v1/alerts/channels")["channels"]
    assert channel["name"] == "NOTIFY_URL"
    assert setting(world, "NOTIFY_URL")["value"] == "***"
    change(world, NOTIFY_URL=None)
    assert world.client.data("/api/v1/alerts/channels")["channels"] == []
    assert "cannot be used" in refusal(world, NOTIFY_URL="file:///etc/passwd")


def test_trainer_is_located_and_checked_without_a_restart(world: World, tmp_path: Path):
    checkout, python = tmp_path / "diffusion-pipe", tmp_path / "python"
    checkout.mkdir()
    (checkout / "train.py").touch()
    python.write_text("#!/bin/sh\necho Python 3.12.4\n")
    python.chmod(0o755)
    for path in (checkout, python):
        os.chmod(path, 0o755)
    answered = change(world, DIFFUSION_PIPE_ROOT=str(checkout), DIFFUSION_PIPE_PYTHON=str(python))
    assert answered.status_code == 200, answered.text
    found = world.client.data("/api/v1/system/trainer")
    assert (found["root"], found["interpreter"], found["is_checking"]) == (str(checkout), str(python), True)
    assert [each["code"] for each in found["problems"]] == []


def test_program_that_is_no_python_is_refused_at_once(world: World):
    assert "is not a Python" in refusal(world, DIFFUSION_PIPE_PYTHON="/bin/sh")
    assert setting(world, "DIFFUSION_PIPE_PYTHON")["value"] is None


def test_program_of_another_user_is_refused_without_keys(world: World, tmp_path: Path):
    open_directory = tmp_path / "open"
    open_directory.mkdir()
    python = open_directory / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    open_directory.chmod(0o777)
    assert "can be replaced by other users" in refusal(world, DIFFUSION_PIPE_PYTHON=str(python))


def test_hostile_paths_are_refused(world: World, tmp_path: Path, folder: Path):
    (tmp_path / "into").symlink_to(world.storage)
    (folder / "loop").symlink_to(folder / "loop")
    for path in (
        str(world.storage),
        str(world.storage / "tasks"),
        str(tmp_path),  # contains the storage
        str(tmp_path / "into"),
        f"{folder}/../media",
        f"{folder}/loop",
        f"{folder}/missing",
        "relative",
        "/",
        "/dev/shm",
        "/proc/self/cwd",
        f"{folder}\n",
        f"{folder}\u202e",
        f"{folder}\0",
        f"{folder}:/etc",
        "/" + "x" * 5000,
        "",
    ):
        assert refusal(world, DATASET_DIRECTORIES=[path]), path
        assert refusal(world, DIFFUSION_PIPE_ROOT=path), path
    assert setting(world, "DATASET_DIRECTORIES")["source"] == "default"


@pytest.mark.parametrize(
    "values",
    [
        {"MAX_CONCURRENT_TASKS": "3"},
        {"MAX_CONCURRENT_TASKS": 1.5},
        {"MAX_CONCURRENT_TASKS": -1},
        {"MAX_CONCURRENT_TASKS": True},
        {"STOP_CHECKPOINT_SECONDS": 1e300},
        {"CAPTION_ENDPOINT": "file:///etc/passwd"},
        {"CAPTION_ENDPOINT": "http://user:password@host/v1"},
        {"CAPTION_KEY": "sk-\u00fc"},
        {"CAPTION_MODEL": ["a"]},
        {"CAPTION_MODEL": "a\x1b[31m"},
        {"CAPTION_MODEL": {"a": 1}},
        {"LOG_LEVEL": "LOUD"},
        {"CAPTION_COMMAND": "/bin/sh -c {file}"},
        {"AUTH": "off"},
        {"DATASET_DIRECTORIES": "/srv"},
        {"DATASET_DIRECTORIES": ["/srv"] * 65},
        {f"K{number}": 1 for number in range(65)},
        {"~/": 1},
        {},
    ],
)
def test_invalid_values_are_refused(world: World, values: dict[str, Any]):
    answered = world.client.patch(SETTINGS, json={"values": values})
    assert answered.status_code == 422, answered.text
    assert "database" not in {each["source"] for each in world.client.data(SETTINGS)["settings"]}


def test_value_of_a_wrong_type_is_named(world: World):
    answered = change(world, LOG_LEVEL="INFO", MAX_CONCURRENT_TASKS=True)
    assert [each["pointer"] for each in failure_of(answered)["error"]["errors"]] == ["/values/MAX_CONCURRENT_TASKS"]


def test_huge_body_is_refused(world: World):
    assert change(world, CAPTION_MODEL="x" * 2_000_000).status_code == 413


def test_only_administrators_read_and_change(make_world: MakeWorld):
    world = make_world(auth="required")
    for role in (Role.VIEWER, Role.TRAINER):
        user = world.signed_in(role.value, role)
        assert user.client.get(SETTINGS).status_code == 403
        assert change(user, MAX_CONCURRENT_TASKS=1).status_code == 403
    admin = world.signed_in("ada", Role.ADMIN)
    assert change(admin, MAX_CONCURRENT_TASKS=1).status_code == 200
    assert setting(admin, "MAX_CONCURRENT_TASKS")["updated_by"] == "ada"
    assert world.client.get(SETTINGS).status_code == 401


def test_audit_has_the_change_without_secrets(make_world: MakeWorld):
    admin = make_world(auth="required").signed_in("ada", Role.ADMIN)
    change(admin, CAPTION_MODEL="a", CAPTION_KEY="sk-secret")
    change(admin, CAPTION_MODEL="b")
    entries = admin.client.data("/api/v1/auth/audit?object=settings")["entries"]
    assert [(each["actor"], each["before"], each["after"]) for each in entries] == [
        ("ada", {"CAPTION_MODEL": "a"}, {"CAPTION_MODEL": "b"}),
        ("ada", {"CAPTION_MODEL": None, "CAPTION_KEY": None}, {"CAPTION_MODEL": "a", "CAPTION_KEY": "***"}),
    ]


def test_unreadable_secret_is_a_problem_and_not_an_error(make_world: MakeWorld, tmp_path: Path):
    world = make_world()
    change(world, CAPTION_KEY="sk-secret")
    (world.storage / "channels.key").unlink()
    shown = setting(make_world(), "CAPTION_KEY")
    assert shown["value"] is None
    assert "another key" in shown["problem"]


def test_settings_of_a_newer_version_are_ignored(world: World):
    with world.runtime.database.write() as connection:
        row = {"key": "LATER", "value": "1", "updated_at": 0, "updated_by": "x"}
        connection.execute(insert(stored_settings).values(row))
    world.runtime.settings.reread()
    assert "LATER" not in {each["key"] for each in world.client.data(SETTINGS)["settings"]}


@pytest.fixture
def log_level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.mark.usefixtures("log_level")
def test_log_level_changes_at_once_and_nodes_get_it_with_the_receipt(make_world: MakeWorld):
    world = make_world(log_level="INFO")
    assert send_report(world.client).json()["data"]["settings"] == {}
    change(world, LOG_LEVEL="error")
    assert logging.getLogger().level == logging.ERROR
    assert send_report(world.client).json()["data"]["settings"] == {"LOG_LEVEL": "error"}
