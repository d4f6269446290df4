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
    place = world.storage / "datasets/uploads"
    return sorted(os.listdir(place)) if place.exists() else []


def test_an_upload_in_parts_becomes_an_item_of_a_new_dataset(uploads: Uploads):
    content = picture()
    url = uploads.begun(len(content))
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


def test_an_upload_may_bring_its_first_bytes_along(uploads: Uploads):
    content = picture()
    said = {"Upload-Length": str(len(content)), "Upload-Metadata": encode(dataset="cats"), "Content-Type": PART}
    made = uploads.world.client.ask("POST", UPLOADS, content=content[:10], headers={**TUS, **said})
    assert (made.status_code, made.headers["upload-offset"]) == (201, "10")
    url = made.headers["location"]
    assert uploads.send(url, 10, content[10:]).headers["upload-offset"] == str(len(content))


def test_what_the_protocol_can_is_told(uploads: Uploads):
    told = uploads.world.client.ask("OPTIONS", UPLOADS)
    assert told.headers["tus-version"] == "1.0.0"
    assert "termination" in told.headers["tus-extension"]
    assert told.headers["tus-checksum-algorithm"] == "sha256,sha1"
    assert int(told.headers["tus-max-size"]) == 2**40


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "DELETE"])
@pytest.mark.parametrize("version", [None, "0.2.2"])
def test_another_version_of_the_protocol_is_refused(uploads: Uploads, method: str, version: str | None):
    url = uploads.begun(5)
    headers = {} if version is None else {"Tus-Resumable": version}
    refused = uploads.world.client.ask(method, UPLOADS if method == "POST" else url, headers=headers)
    assert (refused.status_code, refused.headers["tus-version"]) == (412, "1.0.0")
    assert refused.headers["tus-resumable"] == "1.0.0"
    assert uploads.get(url)["status"] == "receiving"


def test_an_upload_says_what_was_said_of_it(uploads: Uploads):
    url = uploads.begun(5, filename="ü.png", filetype="image/png")
    told = uploads.world.client.ask("HEAD", url, headers=TUS)
    assert set(told.headers["upload-metadata"].split(",")) == set(
        encode(dataset="cats", filename="ü.png", filetype="image/png").split(",")
    )
    assert (told.headers["upload-length"], told.headers["cache-control"]) == ("5", "no-store")
    assert told.headers["upload-expires"].endswith("GMT")


def test_a_part_for_another_place_is_told_where_the_upload_is(uploads: Uploads):
    url = uploads.begun(10)
    uploads.send(url, 0, b"abc")
    refused = uploads.send(url, 5, b"defgh")
    assert (refused.status_code, refused.headers["upload-offset"]) == (409, "3")
    assert refused.json()["data"] == {"offset": 3}
    assert uploads.offset(url) == 3


def test_a_second_writer_is_refused_while_the_first_writes(uploads: Uploads):
    url = uploads.begun(10)
    held = uploads.world.runtime.services.uploads.open(url.rpartition("/")[2], 0, None, None)
    refused = uploads.send(url, 0, b"abc")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "upload_conflict")
    held.file.close()
    assert uploads.send(url, 0, b"abc").status_code == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_part_with_a_wrong_checksum_is_not_kept(uploads: Uploads, algorithm: str):
    url = uploads.begun(10)
    right, wrong = (
        f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}" for data in (b"abc", b"abx")
    )
    refused = uploads.send(url, 0, b"abc", **{"Upload-Checksum": wrong})
    assert (refused.status_code, refused.json()["error"]["code"]) == (460, "checksum_mismatch")
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
def test_a_part_that_is_none_is_refused(uploads: Uploads, headers: dict[str, str], status: int):
    url = uploads.begun(10)
    assert uploads.send(url, 0, b"abc", **headers).status_code == status
    assert uploads.offset(url) == 0


def test_more_than_the_upload_has_is_refused(uploads: Uploads):
    url = uploads.begun(5)
    assert uploads.send(url, 0, b"abcdef").status_code == 413
    assert uploads.offset(url) == 0


def test_an_upload_is_taken_away_with_its_bytes(uploads: Uploads):
    url = uploads.begun(10)
    uploads.send(url, 0, b"abc")
    assert uploads.world.client.ask("DELETE", url, headers=TUS).status_code == 204
    assert uploads.world.client.ask("HEAD", url, headers=TUS).status_code == 404
    assert uploads.send(url, 3, b"abc").json()["error"]["code"] == "upload_not_found"
    assert files(uploads.world) == []


def test_a_method_that_a_client_cannot_send_is_named_in_a_header(uploads: Uploads):
    url = uploads.begun(10)
    headers = {**TUS, "X-HTTP-Method-Override": "DELETE"}
    assert uploads.world.client.ask("POST", url, headers=headers).status_code == 204


def test_a_retry_of_the_beginning_begins_one_upload(uploads: Uploads):
    once = {"Idempotency-Key": "k"}
    first, second = uploads.begin(10, once), uploads.begin(10, once)
    assert first.headers["location"] == second.headers["location"]
    assert uploads.begin(11, once).status_code == 422
    assert uploads.world.client.data(UPLOADS)["pagination"]["total"] == 1


@pytest.mark.parametrize(
    ("metadata", "pointer"),
    [
        ({"dataset": ""}, "/Upload-Metadata/dataset"),
        ({"dataset": "../x"}, "/Upload-Metadata/dataset"),
        ({"filename": "../x.png"}, "/Upload-Metadata/filename"),
        ({"relativePath": "/etc/passwd"}, "/Upload-Metadata/filename"),
        ({"kind": "other"}, "/Upload-Metadata/kind"),
    ],
)
def test_what_is_said_of_an_upload_is_looked_at_before_its_bytes(
    uploads: Uploads, metadata: dict[str, str], pointer: str
):
    refused = uploads.begin(10, **metadata)
    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["error"]["errors"]] == [pointer]


@pytest.mark.parametrize(
    "header", ["dataset !", "dataset Y2F0cw==,dataset Y2F0cw==", "dataset gA==", "x y z,", "é Y2F0cw=="]
)
def test_metadata_that_are_none_are_refused(uploads: Uploads, header: str):
    headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": header.encode()}
    assert uploads.world.client.ask("POST", UPLOADS, headers=headers).status_code == 400


@pytest.mark.parametrize("length", [None, "x", "-1", "1e3"])
def test_a_size_that_is_none_is_refused(uploads: Uploads, length: str | None):
    headers = {**TUS, "Upload-Metadata": encode(dataset="cats")} | ({} if length is None else {"Upload-Length": length})
    assert uploads.world.client.ask("POST", UPLOADS, headers=headers).status_code == 400


def test_an_upload_without_bytes_is_whole_at_once(uploads: Uploads):
    url = uploads.begun(0, filename="x.txt")
    assert uploads.get(url)["status"] == "received"


def test_what_waits_too_long_is_given_up(make_world: MakeWorld, clock: FakeClock):
    uploads = Uploads(make_world(clock=clock))
    url = uploads.begun(10)
    clock.advance(23 * 3600)
    uploads.send(url, 0, b"abc")
    clock.advance(23 * 3600)
    service = uploads.world.runtime.services.uploads
    service.tidy()
    assert uploads.offset(url) == 3
    clock.advance(2 * 3600)
    service.tidy()
    assert uploads.world.client.ask("HEAD", url, headers=TUS).status_code == 404
    assert files(uploads.world) == []


def test_a_server_that_was_killed_before_it_noted_the_end_notes_it_later(uploads: Uploads):
    content = picture()
    url = uploads.begun(len(content))
    (uploads.world.storage / "datasets/uploads" / url.rpartition("/")[2]).write_bytes(content)
    uploads.world.runtime.services.uploads.tidy()
    uploads.take()
    assert uploads.get(url)["status"] == "completed"


def test_files_that_no_upload_knows_are_removed_when_they_are_old(uploads: Uploads):
    uploads.begun(10)
    stray = uploads.world.storage / "datasets/uploads" / ("0" * 32)
    stray.write_bytes(b"x")
    uploads.world.runtime.services.uploads.tidy()
    assert stray.exists()
    os.utime(stray, (1, 1))
    uploads.world.runtime.services.uploads.tidy()
    assert not stray.exists()
    assert len(files(uploads.world)) == 1


def test_a_disk_without_room_is_507_before_any_byte(uploads: Uploads):
    assert uploads.begin(2**39).status_code == 507
    assert uploads.begin(2**41).status_code == 413


def test_uploads_are_listed_newest_first(uploads: Uploads):
    urls = [uploads.begun(10) for _ in range(3)]
    page = uploads.world.client.data(f"{UPLOADS}?limit=2")
    assert [f"{UPLOADS}/{each['upload_id']}" for each in page["uploads"]] == urls[:0:-1]
    rest = uploads.world.client.data(f"{UPLOADS}?limit=2&cursor={page['pagination']['next_cursor']}")
    assert [f"{UPLOADS}/{each['upload_id']}" for each in rest["uploads"]] == urls[:1]
    assert uploads.world.client.data(f"{UPLOADS}?status=failed")["uploads"] == []
