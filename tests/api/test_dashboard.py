"""The dashboard's page and files."""

import re

import pytest

from tests.api.client import Client, failure_of


def files_of(client: Client) -> list[str]:
    """Return the addresses of the page's files."""
    return re.findall(r'(?:href|src)="(/dashboard/[^"]+)"', client.get("/").text)


def test_page_forbids_everything_that_it_does_not_need(client: Client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "media-src 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_page_has_no_inline_scripts_and_no_files_of_other_hosts(client: Client):
    page = client.get("/").text
    assert re.findall(r"<style|style=|\son\w+=|<script>|https?://", page) == []


def test_every_file_of_the_page_exists_and_is_cached_forever(client: Client):
    found = {path: client.get(path) for path in files_of(client)}
    assert len(found) > 25
    assert {answer.status_code for answer in found.values()} == {200}
    assert {answer.headers["cache-control"] for answer in found.values()} == {"public, max-age=31536000, immutable"}


def test_page_is_revalidated_and_sent_only_if_changed(client: Client):
    answer = client.get("/")
    assert answer.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "name", ["app/nothing.js", "package.json", "fetch.sh", "index.html", "../app.py", "%2e%2e/app.py", "app"]
)
def test_other_files_are_not_found(shared_client: Client, name: str):
    digest = files_of(shared_client)[0].split("/")[2]
    assert failure_of(shared_client.get(f"/dashboard/{digest}/{name}"))["error"]["code"] == "not_found"


def test_files_of_another_version_are_not_found(client: Client):
    assert client.get("/dashboard/0123456789abcdef/app/main.js").status_code == 404


def test_icon_has_its_old_address_too(client: Client):
    assert client.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")
