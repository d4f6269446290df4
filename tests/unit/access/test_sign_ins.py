from api.access.store import SignIn, SignInStore
from tests.unit.db.builders import NOW, Stores, later

SIGN_IN = SignIn("state", "nonce", "verifier", "https://here/callback", "/")


def test_sign_in_is_taken_once(stores: Stores):
    sign_ins = SignInStore(stores.database)
    sign_ins.add("hash", SIGN_IN, NOW, later(60))
    assert [sign_ins.take("hash", NOW) for _ in range(2)] == [SIGN_IN, None]


def test_expired_sign_in_is_not_found(stores: Stores):
    sign_ins = SignInStore(stores.database)
    sign_ins.add("hash", SIGN_IN, NOW, later(60))
    assert sign_ins.take("hash", later(60)) is None


def test_expired_sign_ins_are_deleted_with_the_next(stores: Stores):
    sign_ins = SignInStore(stores.database)
    sign_ins.add("old", SIGN_IN, NOW, later(60))
    sign_ins.add("new", SIGN_IN, later(61), later(120))
    assert sign_ins.take("old", NOW) is None
