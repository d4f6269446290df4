import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.db.sealing import Sealer, SecretUnreadable
from api.domain.alerts.channel import ChannelSecret

SECRET = ChannelSecret("mailtos://user:p4ssw0rd@example.org", "whsec_x")


def test_secret_is_decrypted_and_its_ciphertext_does_not_show_it(tmp_path: Path):
    sealed = Sealer(tmp_path / "key").seal(SECRET)
    assert b"p4ssw0rd" not in sealed
    assert Sealer(tmp_path / "key").open(sealed) == SECRET
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_secret_is_unreadable_without_its_key(tmp_path: Path):
    sealed = Sealer(tmp_path / "key").seal(SECRET)
    with pytest.raises(SecretUnreadable, match="another key"):
        Sealer(tmp_path / "other").open(sealed)
    (tmp_path / "key").write_text("nonsense")
    with pytest.raises(SecretUnreadable, match="contains no valid key"):
        Sealer(tmp_path / "key").open(sealed)


def test_concurrent_starts_create_one_key(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda _: Sealer(tmp_path / "key").seal(SECRET), range(8)))
    assert {Sealer(tmp_path / "key").open(each) for each in sealed} == {SECRET}
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
