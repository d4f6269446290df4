"""A service that requires keys has an administrator's key: shown once, or read from a file."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.access.audit_store import AuditStore
from api.access.first_key import FirstKey
from api.access.store import CredentialStore
from api.config import ConfigError
from api.domain.access.audit import AuditFilter
from api.domain.access.principal import Role
from api.util.clock import FakeClock
from api.util.text.key_format import KEY, hash_of, new_key
from tests.unit.access.credentials import Credentials


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "admin-key"


def write(file: Path, text: str) -> str:
    file.touch(0o600)
    file.write_text(text)
    return text


def given(store: CredentialStore, clock: FakeClock, file: Path) -> str:
    """Write a new key into the file, and return what a start shows."""
    key = write(file, new_key()[1])
    assert FirstKey(store, clock, file).provide() is None
    return key


def test_first_start_shows_an_administrators_key(store: CredentialStore, clock: FakeClock):
    key = FirstKey(store, clock, None).provide()
    assert key is not None
    assert KEY.fullmatch(key)
    (stored,) = store.load(clock.now()).keys.items()
    assert (stored[0], stored[1].role, stored[1].user_id) == (hash_of(key), Role.ADMIN, "admin")
    assert FirstKey(store, clock, None).provide() is None


def test_one_of_two_concurrent_starts_shows_a_key(store: CredentialStore, clock: FakeClock):
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda _: FirstKey(store, clock, None).provide(), range(4)))
    assert len([key for key in shown if key is not None]) == 1
    assert store.count() == 1
    rows, _ = AuditStore(store._database).page(AuditFilter(), 10, None)
    assert [(row.entry.actor, row.entry.operation) for row in rows] == [("service", "first key")]


def test_no_key_is_shown_if_any_key_exists(
    store: CredentialStore, clock: FakeClock, credentials: Credentials, caplog: pytest.LogCaptureFixture
):
    credentials.key("ann")
    assert FirstKey(store, clock, None).provide() is None
    assert "no administrator's key is active" in caplog.text


def test_key_of_the_file_is_active_and_not_shown(
    store: CredentialStore, clock: FakeClock, file: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    key = given(store, clock, file)
    write(file, f"\n  {key}\n")
    assert FirstKey(store, clock, file).provide() is None
    assert [each.key_id for each in store.load(clock.now()).keys.values()] == [key[3:15]]
    assert key not in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_new_key_in_the_file_is_added_and_logged(
    store: CredentialStore, clock: FakeClock, file: Path, caplog: pytest.LogCaptureFixture
):
    before = given(store, clock, file)
    after = given(store, clock, file)
    assert set(store.load(clock.now()).keys) == {hash_of(before), hash_of(after)}
    assert "ADMIN_KEY_FILE contains a new key, which is now active" in caplog.text


def test_revoked_key_in_the_file_stays_revoked_and_is_logged(
    store: CredentialStore, clock: FakeClock, file: Path, caplog: pytest.LogCaptureFixture
):
    key = given(store, clock, file)
    store.revoke(key[3:15], "root", clock.now())
    assert FirstKey(store, clock, file).provide() is None
    assert store.load(clock.now()).keys == {}
    assert "is revoked, expired or not an administrator's" in caplog.text


def test_key_with_the_id_of_another_is_refused(store: CredentialStore, clock: FakeClock, file: Path):
    key = given(store, clock, file)
    write(file, key[:-1] + ("A" if key[-1] != "A" else "B"))
    with pytest.raises(ConfigError, match="Another key has the id"):
        FirstKey(store, clock, file).provide()


@pytest.mark.parametrize("text", ["", "secret", "dp_short_x", "dp_abcdefghijkl_" + 44 * "x", "\0" * 5000, "é"])
def test_file_without_a_key_is_refused_and_not_quoted(store: CredentialStore, clock: FakeClock, file: Path, text: str):
    write(file, text)
    with pytest.raises(ConfigError, match="contains no key: write one with `python -m api key file PATH`") as refused:
        FirstKey(store, clock, file).provide()
    assert not text or text not in str(refused.value)
    assert store.count() == 0
