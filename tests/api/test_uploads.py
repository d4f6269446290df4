import base64
import hashlib
import os

import pytest

from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World
from tests.api.uploads import PART, TUS, UPLOADS, Uploads, encode, picture

pytestmark = pytest.mark.usefixtures("shared_decoder")


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def files(world: World) -> list[str]:
    directory = world.storage / "datasets/uploads"
    return sorted(os.listdir(directory)) if directory.exists() else []


def test_upload_in_parts_becomes_an_item_of_a_new_dataset(uploads: Uploads):
    content = picture()
    url = uploads.start_upload(len(content))
    assert uploads.offset(url) == 0
    assert uploads.send(url, 0, content[:20]).headers["upload-offset"] == "20"
    assert uploads.offset(url) == 20
    assert uploads.send(url, 20, content[20:]).status_code == 204
    assert uploads.get(url)["status"] == "received"
    uploads.take()
    found = uploads.get(url)
    assert (found["status"], found["kind"], found["result"]["dataset"], found["result"]["version"]) == (
        "completed", "item", "cats", 1,
    )  # fmt: skip
    assert found["result"]["facts"]["width"] == 8
    assert uploads.items() == {"a/x.png": None}
    item = uploads.world.client.data("/api/v1/datasets/cats/items")["items"][0]
    assert item["sha256"] == hashlib.sha256(content).hexdigest()
    assert files(uploads.world) == []


def test_creation_may_include_the_first_bytes(uploads: Uploads):
    content = picture()
    output = {"Upload-Length": str(len(content)), "Upload-Metadata": encode(dataset="cats"), "Content-Type": PART}
    made = uploads.world.client.ask("POST", UPLOADS, content=content[:10], headers={**TUS, **output})
    assert (made.status_code, made.headers["upload-offset"]) == (201, "10")
    url = made.headers["location"]
    assert uploads.send(url, 10, content[10:]).headers["upload-offset"] == str(len(content))


def test_protocol_extensions_are_listed(uploads: Uploads):
    response = uploads.world.client.ask("OPTIONS", UPLOADS)
    assert response.headers["tus-version"] == "1.0.0"
    assert "termination" in response.headers["tus-extension"]
    assert response.headers["tus-checksum-algorithm"] == "sha256,sha1"
    assert int(response.headers["tus-max-size"]) == 2**40


def test_upload_returns_its_metadata(uploads: Uploads):
    url = uploads.start_upload(5, filename="ü.png", filetype="image/png")
    response = uploads.world.client.ask("HEAD", url, headers=TUS)
    assert set(response.headers["upload-metadata"].split(",")) == set(
        encode(dataset="cats", filename="ü.png", filetype="image/png").split(",")
    )
    assert (response.headers["upload-length"], response.headers["cache-control"]) == ("5", "no-store")
    assert response.headers["upload-expires"].endswith("GMT")


def test_part_at_a_wrong_offset_returns_the_right_one(uploads: Uploads):
    url = uploads.start_upload(10)
    uploads.send(url, 0, b"abc")
    rejected = uploads.send(url, 5, b"defgh")
    assert (rejected.status_code, rejected.headers["upload-offset"]) == (409, "3")
    assert rejected.json()["data"] == {"offset": 3}
    assert uploads.offset(url) == 3


def test_second_concurrent_writer_is_rejected(uploads: Uploads):
    url = uploads.start_upload(10)
    held = uploads.world.runtime.services.datasets.uploads.open(url.rpartition("/")[2], 0, None, None)
    rejected = uploads.send(url, 0, b"abc")
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (409, "upload_conflict")
    held.file.close()
    assert uploads.send(url, 0, b"abc").status_code == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_part_with_a_wrong_checksum_is_discarded(uploads: Uploads, algorithm: str):
    url = uploads.start_upload(10)
    right, wrong = (
        f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}" for data in (b"abc", b"abx")
    )
    rejected = uploads.send(url, 0, b"abc", **{"Upload-Checksum": wrong})
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (460, "checksum_mismatch")
    assert uploads.offset(url) == 0
    assert uploads.send(url, 0, b"abc", **{"Upload-Checksum": right}).status_code == 204
    assert uploads.offset(url) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Checksum": "md5 AAAA"}, 400),
        ({"Upload-Checksum": "sha256 !"}, 400),
        ({"Content-Type": "application/json"}, 415),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": "x"}, 400),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_invalid_part_is_rejected(uploads: Uploads, headers: dict[str, str], status: int):
    url = uploads.start_upload(10)
    assert uploads.send(url, 0, b"abc", **headers).status_code == status
    assert uploads.offset(url) == 0


def test_more_bytes_than_announced_are_rejected(uploads: Uploads):
    url = uploads.start_upload(5)
    assert uploads.send(url, 0, b"abcdef").status_code == 413
    assert uploads.offset(url) == 0


def test_upload_is_deleted_with_its_bytes(uploads: Uploads):
    url = uploads.start_upload(10)
    uploads.send(url, 0, b"abc")
    assert uploads.world.client.ask("DELETE", url, headers=TUS).status_code == 204
    assert uploads.world.client.ask("HEAD", url, headers=TUS).status_code == 404
    assert uploads.send(url, 3, b"abc").json()["error"]["code"] == "upload_not_found"
    assert files(uploads.world) == []


def test_retried_creation_creates_one_upload(uploads: Uploads):
    once = {"Idempotency-Key": "k"}
    first, second = uploads.begin(10, once), uploads.begin(10, once)
    assert first.headers["location"] == second.headers["location"]
    assert uploads.begin(11, once).status_code == 422
    assert uploads.world.client.data(UPLOADS)["pagination"]["total"] == 1


def test_empty_upload_is_complete_immediately(uploads: Uploads):
    url = uploads.start_upload(0, filename="x.txt")
    assert uploads.get(url)["status"] == "received"


def test_idle_upload_expires(make_world: MakeWorld, clock: FakeClock):
    uploads = Uploads(make_world(clock=clock))
    url = uploads.start_upload(10)
    clock.advance(23 * 3600)
    uploads.send(url, 0, b"abc")
    clock.advance(23 * 3600)
    service = uploads.world.runtime.services.datasets.uploads
    service.tidy()
    assert uploads.offset(url) == 3
    clock.advance(2 * 3600)
    service.tidy()
    assert uploads.world.client.ask("HEAD", url, headers=TUS).status_code == 404
    assert files(uploads.world) == []


def test_completion_missed_by_a_killed_server_is_recorded_later(uploads: Uploads):
    content = picture()
    url = uploads.start_upload(len(content))
    (uploads.world.storage / "datasets/uploads" / url.rpartition("/")[2]).write_bytes(content)
    uploads.world.runtime.services.datasets.uploads.tidy()
    uploads.take()
    assert uploads.get(url)["status"] == "completed"


def test_old_files_without_an_upload_are_removed(uploads: Uploads):
    uploads.start_upload(10)
    orphan = uploads.world.storage / "datasets/uploads" / ("0" * 32)
    orphan.write_bytes(b"x")
    uploads.world.runtime.services.datasets.uploads.tidy()
    assert orphan.exists()
    os.utime(orphan, (1, 1))
    uploads.world.runtime.services.datasets.uploads.tidy()
    assert not orphan.exists()
    assert len(files(uploads.world)) == 1


def test_full_disk_is_507_before_any_byte(uploads: Uploads):
    assert uploads.begin(2**39).status_code == 507
    assert uploads.begin(2**41).status_code == 413


def test_uploads_are_listed_newest_first(uploads: Uploads):
    urls = [uploads.start_upload(10) for _ in range(3)]
    page = uploads.world.client.data(f"{UPLOADS}?limit=2")
    assert [f"{UPLOADS}/{each['upload_id']}" for each in page["uploads"]] == urls[:0:-1]
    rest = uploads.world.client.data(f"{UPLOADS}?limit=2&cursor={page['pagination']['next_cursor']}")
    assert [f"{UPLOADS}/{each['upload_id']}" for each in rest["uploads"]] == urls[:1]
    assert uploads.world.client.data(f"{UPLOADS}?status=failed")["uploads"] == []
