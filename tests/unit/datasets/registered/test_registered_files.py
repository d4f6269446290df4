from api.datasets.registered.known_files import RegisteredFile, RegisteredFileStore
from api.db.database import Database


def test_files_of_a_directory_are_those_stored_last(database: Database):
    store = RegisteredFileStore(database)
    first, second = (RegisteredFile(name, 3, 10**18, 7, "a" * 64) for name in ("a.png", "ä/b.png"))
    store.replace(1, [first, second])
    store.replace(2, [first])
    assert store.of(1) == {"a.png": first, "ä/b.png": second}
    store.replace(1, [second])
    assert store.of(1) == {"ä/b.png": second}
    assert store.of(2) == {"a.png": first}
    assert (store.find(1, "ä/b.png"), store.find(1, "a.png")) == (second, None)
