"""The command `key`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api import main
from api.access.audit_store import AuditStore
from api.access.first_key import read_key_file
from api.access.store import CredentialStore, KnownCredentials
from api.db.database import Database, sqlite_url
from api.domain.access.audit import AuditFilter
from api.domain.access.principal import Permission, Role
from api.util.text.key_format import KEY, hash_of

NEW = ("new", "--name", "anna", "--role", "trainer")


class Machine:
    """A shell on the machine, with a storage of its own."""

    def __init__(self, storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.storage = storage
        self._capsys = capsys

    def types(self, *words: str) -> tuple[int, str, str]:
        """Run the command; return the exit code, standard output and standard error."""
        try:
            code = main.main(["key", *words])
        except SystemExit as end:
            code = int(end.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def makes(self, *words: str) -> str:
        code, key, _ = self.types(*words)
        assert code == 0
        return key.strip()

    def knows(self) -> KnownCredentials:
        database = Database(sqlite_url(self.storage / "database.sqlite"))
        try:
            return CredentialStore(database).load(datetime.now(UTC))
        finally:
            database.close()


@pytest.fixture
def machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, umask_stays: None
) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_ROOT", str(tmp_path / "storage"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return Machine(tmp_path / "storage", capsys)


@pytest.fixture
def umask_stays() -> object:
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def test_only_the_key_is_printed_and_it_is_valid_before_the_first_start(machine: Machine):
    code, out, err = machine.types(*NEW)
    key = out.removesuffix("\n")
    assert (code, bool(KEY.fullmatch(key))) == (0, True)
    assert key not in err
    assert "for anna, trainer" in err
    (stored,) = machine.knows().keys.items()
    assert (stored[0], stored[1].user_id, stored[1].role, stored[1].created_by) == (
        hash_of(key),
        "anna",
        Role.TRAINER,
        "operator",
    )
    assert (machine.storage / "database.sqlite").stat().st_mode & 0o077 == 0


def test_key_may_have_a_user_permissions_and_an_expiry(machine: Machine):
    machine.makes(
        *("new", "--name", "ci of anna", "--user-id", "anna", "--permissions", "training,system:read"),
        *("--expires-at", "2099-01-01T00:00:00Z"),
    )
    (key,) = machine.knows().keys.values()
    assert (key.user_id, key.name, key.role) == ("anna", "ci of anna", None)
    assert {Permission.TRAINING_WRITE, Permission.SYSTEM_READ} <= key.granted
    assert key.expires_at == datetime(2099, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "--name", "two words", "--role", "admin"), "user_id: must be 1 to 64 letters"),
        (("new", "--name", "anna"), "one of the arguments --role --permissions is required"),
        (("new", "--name", "anna", "--role", "boss"), "invalid choice: 'boss'"),
        (("new", "--name", "anna", "--permissions", "log:read"), 'did you mean "logs:read"?'),
        ((*NEW, "--expires-at", "tomorrow"), "expires_at: must be a time such as"),
        ((*NEW, "--api-port", "x"), "API_PORT"),
        ((*NEW, "--no-such-setting"), "unrecognized arguments"),
        ((), "arguments are required: new|list|revoke|file"),
    ],
)
def test_invalid_arguments_are_reported(machine: Machine, words: tuple[str, ...], said: str):
    code, out, err = machine.types(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert not (machine.storage / "database.sqlite").exists() or machine.knows().keys == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*NEW, "--expires-at", "2001-01-01T00:00:00Z"), "must be in the future"),
        (("new", "--name", "api", "--role", "viewer"), "is reserved for the service"),
        (("revoke", "abcdefghijkl"), 'There is no key with the id "abcdefghijkl"'),
    ],
)
def test_refusal_is_reported_with_its_reason(machine: Machine, words: tuple[str, ...], said: str):
    machine.makes(*NEW)
    code, out, err = machine.types(*words)
    assert (code, out) == (1, "")
    assert said in err


def test_keys_are_listed_without_their_secrets(machine: Machine):
    keys = [machine.makes(*NEW), machine.makes("new", "--name", "root", "--role", "admin")]
    machine.types("revoke", keys[0][3:15])
    _, out, _ = machine.types("list")
    header, newest, oldest = out.splitlines()
    assert header.split() == ["KEY", "USER", "NAME", "ROLE", "STATE", "EXPIRES", "LAST", "USED"]
    assert newest.split() == [keys[1][3:15], "root", "root", "admin", "active", "never", "never"]
    assert oldest.split()[4] == "revoked"
    assert machine.types("list", "--state", "active")[1].count("\n") == 2
    assert machine.types("list", "--user-id", "nobody")[1].count("\n") == 1
    assert not any(key in out for key in keys)


def test_last_administrator_is_revoked_only_with_force(machine: Machine):
    key_id = machine.makes("new", "--name", "root", "--role", "admin")[3:15]
    code, _, err = machine.types("revoke", key_id)
    assert (code, "Create another one first" in err) == (1, True)
    assert machine.types("revoke", key_id, "--force")[0] == 0
    assert machine.knows().keys == {}


def test_storage_without_a_database_is_reported_and_not_created(machine: Machine, tmp_path: Path):
    for words in (("list",), ("revoke", "abcdefghijkl")):
        code, _, err = machine.types(*words, "--storage-root", str(tmp_path / "other"))
        assert (code, "there is no database in STORAGE_ROOT=" in err) == (2, True)
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_database_of_another_user_is_not_touched(machine: Machine):
    machine.makes(*NEW)
    os.chown(machine.storage / "database.sqlite", 1234, -1)
    code, _, err = machine.types("list")
    assert (code, "belongs to 1234: run this command as that user" in err) == (2, True)


def test_file_with_an_administrators_key_is_created(machine: Machine, tmp_path: Path):
    code, out, err = machine.types("file", "admin-key")
    key = read_key_file(tmp_path / "admin-key")
    assert (code, out, bool(KEY.fullmatch(key))) == (0, "", True)
    assert f"ADMIN_KEY_FILE={tmp_path / 'admin-key'}" in err
    assert key not in err
    assert machine.types("file", "admin-key")[0] == 2


def test_audit_names_the_operator(machine: Machine):
    key_id = machine.makes(*NEW)[3:15]
    machine.types("revoke", key_id)
    machine.types("list")
    database = Database(sqlite_url(machine.storage / "database.sqlite"))
    rows, _ = AuditStore(database).page(AuditFilter(), 10, None)
    database.close()
    result = [(row.entry.actor, row.entry.operation, row.entry.object) for row in rows]
    assert result == [("operator", "key revoke", key_id), ("operator", "key new", key_id)]


def test_help_lists_the_command(machine: Machine, capsys: pytest.CaptureFixture[str]):
    assert all(word in machine.types("--help")[1] for word in ("new", "list", "revoke", "file"))
    assert "shown this once" not in machine.types("new", "--help")[1]
    with pytest.raises(SystemExit):
        main.main(["--help"])
    assert "key --help" in capsys.readouterr().out
