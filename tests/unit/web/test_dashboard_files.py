"""The dashboard's files, and their names in the page."""

import json
import re
from pathlib import Path

import pytest

from api.errors import NotFound
from api.web.page_routes import FOLDER, DashboardFiles

PAGE = '<script src="/dashboard/@/app/early.js"></script>\n<!-- links -->'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page whose first module imports others statically, and one dynamically."""
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


def test_page_preloads_static_imports_of_its_first_module(folder: Path) -> None:
    preloaded = re.findall(r'modulepreload" href="/dashboard/\w+/app/([^"]+)"', page_of(DashboardFiles(folder)))
    assert sorted(preloaded) == ["b.js", "c.js", "main.js", "parts/a.js"]


def test_style_sheets_of_all_screens_are_one_file(folder: Path) -> None:
    (folder / "css").mkdir()
    for name in "ab":
        (folder / "css" / f"{name}.css").write_text(f".{name} {{}}")
    links = "".join(f'<link rel="stylesheet" href="/dashboard/@/css/{name}.css">\n' for name in "ba")
    (folder / "index.html").write_text(links + PAGE)
    files = DashboardFiles(folder)
    assert re.findall(r"css/\w+\.css", page_of(files)) == ["css/page.css"]
    assert files.get(files.digest, "css/page.css").content == b".b {}\n.a {}"


def test_page_lists_what_a_screen_needs_besides(folder: Path) -> None:
    (folder / "screens").mkdir()
    home = 'import "../app/b.js";\nimport "../app/screen.js";\nconst { part } = await import("./part.js");\n'
    (folder / "screens" / "home.js").write_text(home)
    (folder / "screens" / "part.js").write_text('import "../app/screen.js";\nimport "./picture.js";\n')
    (folder / "screens" / "picture.js").write_text("")
    (folder / "app" / "main.js").write_text('import "./b.js";\nconst open = () => import("../screens/home.js");\n')
    (folder / "index.html").write_text("<!-- modules -->" + PAGE)
    (listed,) = re.findall(r"<meta name=\"modules\" .* content='(.*)'>", page_of(DashboardFiles(folder)))
    assert json.loads(listed) == {
        "screens/home.js": ["screens/home.js", "app/screen.js"],
        "screens/part.js": ["screens/part.js", "screens/picture.js"],
    }


def test_first_script_knows_only_screens_of_the_page() -> None:
    early = (FOLDER / "app" / "early.js").read_text()
    named = set(re.findall(r'"(\w+/\w+)"', early.partition("SCREENS = {")[2].partition("};")[0]))
    assert named
    assert named <= set(re.findall(r'"\.\./screens/(\w+/\w+)\.js"', (FOLDER / "app" / "main.js").read_text()))


def test_page_mentions_charts_only_if_installed(folder: Path) -> None:
    assert "charts" not in page_of(DashboardFiles(folder))
    fetch_charts(folder)
    files = DashboardFiles(folder)
    assert f'<meta name="charts" content="/dashboard/{files.digest}/vendor/uPlot.min.css">' in page_of(files)


def test_chart_script_can_be_imported(folder: Path) -> None:
    fetch_charts(folder)
    files = DashboardFiles(folder)
    assert files.get(files.digest, "vendor/uPlot.js").content.endswith(b"export default uPlot;\n")


def test_upload_client_can_be_imported_if_installed(folder: Path) -> None:
    assert "uploads" not in page_of(DashboardFiles(folder))
    (folder / "vendor").mkdir()
    (folder / "vendor" / "tus.min.js").write_text("window.tus = 1;")
    files = DashboardFiles(folder)
    assert '<meta name="uploads" content="tus">' in page_of(files)
    assert files.get(files.digest, "vendor/tus.js").content.endswith(b"export default globalThis.tus;\n")


def test_files_are_served_except_the_package_list(folder: Path) -> None:
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


def test_scripts_are_served_without_comments_and_keep_their_lines(tmp_path: Path):
    (tmp_path / "app").mkdir()
    (tmp_path / "index.html").write_text("")
    script = 'a();\n  /**\n   * Gives b.\n   */\n  // Why.\nconst c = /** @type {X} */ (d); // not alone\nf("//");\n'
    (tmp_path / "app" / "main.js").write_text(script)
    files = DashboardFiles(tmp_path)
    sent = files.get(files.digest, "app/main.js").content
    assert sent == b'a();\n\n\n\n\nconst c = /** @type {X} */ (d); // not alone\nf("//");\n'


def test_no_script_has_a_multi_line_string_that_could_look_like_a_comment():
    opened = {
        path.name
        for path in FOLDER.rglob("*.js")
        if path.parent.name != "vendor" and any(map(_opens_a_text, path.read_text().splitlines()))
    }
    assert opened == {"prose.js"}  # a pattern of three backticks


def _opens_a_text(line: str) -> bool:
    return line.count("`") % 2 == 1 and not line.lstrip().startswith(("//", "*", "/**"))
