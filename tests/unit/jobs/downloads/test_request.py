import json

from api.jobs.downloads.request import DownloadRequest, RepositoryRequest, UrlRequest


def test_request_is_read_as_it_was_written():
    request = DownloadRequest(
        root="/m",
        endpoint="https://h",
        repositories=(RepositoryRequest("o/m", None, ("a",), ("b/*",), {"a": "0" * 64}),),
        addresses=(UrlRequest("https://x/y", "1" * 64, "y", is_named=False),),
        allowed_hosts=("h",),
        allows_pickles=True,
        min_free_mb=3,
    )
    assert DownloadRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


def test_url_of_an_older_request_keeps_its_name():
    request = DownloadRequest("/m", "https://h", (), (UrlRequest("https://x/y", "1" * 64, "y"),), (), False, 0)
    values = request.as_json()
    del values["addresses"][0]["is_named"]
    assert DownloadRequest.from_json(values).addresses[0].is_named
