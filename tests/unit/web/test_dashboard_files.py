"""The files of the dashboard, and what its page names of them."""

import re
from pathlib import Path

import pytest

from api.errors import NotFound
from api.web.page_files import FOLDER, DashboardFiles

PAGE = '<script src="/dashboard/@/app/early.js"></script>\n<!-- links -->'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page whose first module imports others at once, and one when it is wanted."""
    written = {
        "index.html": PAGE,
        "app/early.js": "",
        "app/main.js": 'import { a } from "./parts/a.js";\nimport "./b.js";\nimport("./screen.js");\n',
        "app/parts/a.js": 'import {\n  c,\n} from "../c.js";\nexport { b } from "../b.js";\nexport const a = c;\n',
        "app/b.js": "export const b = 1;\n",
        "app/c.js": 'import { a } from "./parts/a.js";\nexport const c = 1;\n',
        "app/screen.js": "",
    }
    for name, text in written.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def fetch_charts(folder: Path) -> None:
    vendor = folder / "vendor"
    vendor.mkdir()
    (vendor / "uPlot.min.css").write_text("")
    (vendor / "uPlot.iife.min.js").write_text("var uPlot = 1;")


def page_of(files: DashboardFiles) -> str:
    return files.page.content.decode()


def test_the_page_preloads_what_its_first_module_cannot_run_without(folder: Path) -> None:
    preloaded = re.findall(r'modulepreload" href="/dashboard/\w+/app/([^"]+)"', page_of(DashboardFiles(folder)))
    assert sorted(preloaded) == ["b.js", "c.js", "main.js", "parts/a.js"]


def test_the_page_tells_of_charts_only_where_they_are(folder: Path) -> None:
    assert "charts" not in page_of(DashboardFiles(folder))
    fetch_charts(folder)
    files = DashboardFiles(folder)
    assert f'<meta name="charts" content="/dashboard/{files.digest}/vendor/uPlot.min.css">' in page_of(files)


def test_the_script_of_charts_can_be_imported(folder: Path) -> None:
    fetch_charts(folder)
    files = DashboardFiles(folder)
    assert files.get(files.digest, "vendor/uPlot.js").content.endswith(b"export default uPlot;\n")


def test_the_client_of_uploads_can_be_imported_where_it_is(folder: Path) -> None:
    assert "uploads" not in page_of(DashboardFiles(folder))
    (folder / "vendor").mkdir()
    (folder / "vendor" / "tus.min.js").write_text("window.tus = 1;")
    files = DashboardFiles(folder)
    assert '<meta name="uploads" content="tus">' in page_of(files)
    assert files.get(files.digest, "vendor/tus.js").content.endswith(b"export default globalThis.tus;\n")


def test_texts_are_served_and_what_names_the_libraries_is_not(folder: Path) -> None:
    (folder / "locales").mkdir()
    for name in ("locales/en.json", "package.json"):
        (folder / name).write_text("{}")
    files = DashboardFiles(folder)
    assert files.get(files.digest, "locales/en.json").content_type == "application/json"
    with pytest.raises(NotFound):
        files.get(files.digest, "package.json")


def test_another_content_has_another_digest(folder: Path) -> None:
    before = DashboardFiles(folder)
    (folder / "app/screen.js").write_text("export const open = 1;\n")
    after = DashboardFiles(folder)
    assert before.digest != after.digest
    with pytest.raises(NotFound):
        after.get(before.digest, "app/screen.js")


def test_scripts_travel_without_their_comments_and_keep_their_lines(tmp_path: Path):
    (tmp_path / "app").mkdir()
    (tmp_path / "index.html").write_text("")
    script = 'a();\n  /**\n   * Gives b.\n   */\n  // Why.\nconst c = /** @type {X} */ (d); // not alone\nf("//");\n'
    (tmp_path / "app" / "main.js").write_text(script)
    files = DashboardFiles(tmp_path)
    sent = files.get(files.digest, "app/main.js").content
    assert sent == b'a();\n\n\n\n\nconst c = /** @type {X} */ (d); // not alone\nf("//");\n'


def test_no_script_has_a_text_over_several_lines_that_could_look_like_a_comment():
    opened = {
        path.name
        for path in FOLDER.rglob("*.js")
        if path.parent.name != "vendor" and any(map(_opens_a_text, path.read_text().splitlines()))
    }
    assert opened == {"prose.js"}  # a pattern of three backticks


def _opens_a_text(line: str) -> bool:
    return line.count("`") % 2 == 1 and not line.lstrip().startswith(("//", "*", "/**"))
