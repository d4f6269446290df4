import json

from api.jobs.downloads.wish import AddressWish, DownloadWish, RepositoryWish


def test_wish_is_read_as_it_was_written():
    wish = DownloadWish(
        root="/m",
        endpoint="https://h",
        repositories=(RepositoryWish("o/m", None, ("a",), ("b/*",), {"a": "0" * 64}),),
        addresses=(AddressWish("https://x/y", "1" * 64, "y", is_named=False),),
        allowed_hosts=("h",),
        allows_pickles=True,
        min_free_mb=3,
    )
    assert DownloadWish.from_json(json.loads(json.dumps(wish.as_json()))) == wish


def test_address_of_an_earlier_version_keeps_its_name():
    wish = DownloadWish("/m", "https://h", (), (AddressWish("https://x/y", "1" * 64, "y"),), (), False, 0)
    values = wish.as_json()
    del values["addresses"][0]["is_named"]
    assert DownloadWish.from_json(values).addresses[0].is_named
