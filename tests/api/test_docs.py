import pytest

from tests.api.client import Client


def test_docs_page_loads_no_files_of_other_hosts(client: Client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/docs/start.js", "/docs/assets/swagger-ui.css", "/docs/assets/swagger-ui-bundle.js"):
        assert path in page.text or "start" in path
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.js.map", "../docs.py"])
def test_other_files_of_the_package_are_not_found(client: Client, name: str):
    assert client.get(f"/docs/assets/{name}").status_code == 404
