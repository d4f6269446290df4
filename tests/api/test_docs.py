import pytest

from api import main
from tests.api.client import Client, client_of
from tests.api.conftest import World


def test_page_of_the_document_loads_nothing_from_elsewhere(client: Client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/docs/start.js", "/docs/assets/swagger-ui.css", "/docs/assets/swagger-ui-bundle.js"):
        assert path in page.text or "start" in path
        assert client.get(path).status_code == 200


def test_files_of_the_docs_are_compressed_and_known_by_their_tag(world: World):
    with client_of(main.create_shell(world.runtime)) as client:
        plain = client.get("/docs/assets/swagger-ui-bundle.js")
        zipped = client.get("/docs/assets/swagger-ui-bundle.js", headers={"Accept-Encoding": "gzip"})
        held = client.get("/docs/assets/swagger-ui-bundle.js", headers={"If-None-Match": plain.headers["etag"]})
    assert int(zipped.headers["content-length"]) < len(plain.content) / 3
    assert (zipped.content == plain.content, held.status_code) == (True, 304)


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.js.map", "../docs.py"])
def test_other_files_of_the_package_are_not_there(client: Client, name: str):
    assert client.get(f"/docs/assets/{name}").status_code == 404
