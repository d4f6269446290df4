"""Functions of the page's modules, called in a browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.training_server import TrainingServer

pytestmark = pytest.mark.quick

TOML = """epochs = 3
note = '''
epochs = 4
'''

[model]
type = 'flux'

[[directory]]
path = '/a'

[[directory]]
path = '/b'
"""


@pytest.fixture(scope="module")
def page(browser: Browser, server: TrainingServer) -> Iterator[Page]:
    opened = browser.new_page(locale="en-GB")
    opened.goto(f"http://127.0.0.1:{server.port}/#/new")
    yield opened
    opened.close()


def call(page: Page, module: str, expression: str, value: Any = None) -> Any:
    """Evaluate an expression with a module's exports (`m`) and a value (`v`)."""
    script = f"""async (v) => {{
        const base = new URL("../", document.querySelector("script[type=module]").src);
        const m = await import(new URL({module!r}, base).href);
        return {expression};
    }}"""
    return page.evaluate(script, value)


@pytest.mark.parametrize(("number", "text"), [(0, "0 attempts"), ("1", "1 attempt"), ("1,234", "1,234 attempts")])
def test_count_of_one_is_singular(page: Page, number: Any, text: str) -> None:
    assert call(page, "app/i18n.js", "m.t('attempts.n', { n: v })", number) == text


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        ("/epochs", 1),
        ("/model/type", 7),
        ("/model/dtype", 6),
        ("/directory/0/path", 10),
        ("/directory/1/path", 13),
        ("/optimizer", None),
    ],
)
def test_pointer_is_located_in_toml(page: Page, pointer: str, line: int | None) -> None:
    assert call(page, "screens/start/toml.js", "m.lineOf(v[0], v[1])", [TOML, pointer]) == line


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("m.bytes(null)", "–"),
        ("m.bytes(1651910)", "1.6 MB"),
        ("m.percent(null)", "–"),
        ("m.percent(0)", "0 %"),
        ("m.duration(null)", "–"),
        ("m.duration(93784)", "1 d 2 h"),
        ("m.duration(250)", "4 min 10 s"),
        ("m.figure(0.00002)", "2.00e-5"),
        ("m.figure(0.123456)", "0.1235"),
        ("m.utcTime('2026-11-25T09:00:00.123Z')", "2026-11-25 09:00:00 UTC"),
    ],
)
def test_numbers_are_formatted(page: Page, expression: str, shown: str) -> None:
    assert call(page, "ui/format.js", expression) == shown


def test_smoothing_keeps_the_first_value_and_skips_gaps(page: Page) -> None:
    expression = "[...m.smooth(new Map([[1, 4], [2, null], [3, 2]]), 0.5).values()]"
    assert call(page, "screens/tasks/series.js", expression) == [4, None, pytest.approx(8 / 3)]


def test_long_stream_of_points_is_thinned_by_the_service(page: Page) -> None:
    """The page keeps at most the points of its last request and as many new ones, and loses none of the latest."""
    answer = {"available": ["loss"], "data": [{"step": step, "value": 0.5, "timestamp": 0} for step in (0, 3000, 3999)]}
    body = {"code": 200, "message": "ok", "data": answer, "timestamp": 0}
    page.route("**/training/long/metrics*", lambda route: route.fulfill(json=body))
    expression = """(async () => {
      const store = new m.SeriesStore("long");
      for (let step = 0; step < 5000; step += 1) store.add([{ metric: "loss", step, value: 1, timestamp: 0 }]);
      while (store.sorted("loss").length === 5000) await new Promise((done) => setTimeout(done, 10));
      return store.sorted("loss").map(([step]) => step);
    })()"""
    assert call(page, "screens/tasks/series.js", expression) == [0, 3000, *range(3999, 5000)]


@pytest.mark.parametrize(
    ("xs", "given", "is_time", "shown"),
    [
        ([168], [0, 336], False, [166, 170]),
        ([1000], [1000, 87_400], True, [990, 1010]),
        ([1, 2], [1, 2], False, [-0.5, 3.5]),
        ([1000, 1001], [1000, 1001], True, [990.5, 1010.5]),
        ([1, 100], [1, 100], False, [1, 100]),
        ([], [None, None], False, [None, None]),
    ],
)
def test_axis_of_few_values_is_centred(page: Page, xs: Any, given: Any, is_time: bool, shown: Any) -> None:
    expression = "m.spanX(v[0], v[1][0], v[1][1], { isTime: v[2] })"
    assert call(page, "ui/chart.js", expression, [xs, given, is_time]) == shown


def test_many_gpus_are_summarised(page: Page) -> None:
    expression = "m.summarise(v.map((each) => new Map(each)))"
    found = [[[1, 10], [2, 20]], [[1, 30], [2, None]], [[2, 40]]]
    assert call(page, "screens/tasks/gpu_use.js", expression, found) == [[1, 2], [20, 30], [10, 20], [30, 40]]


def test_a_followed_log_keeps_its_last_lines(page: Page) -> None:
    kept = """(() => {
        const log = new m.LogLines("any");
        const line = (offset) => ({ offset, line_number: offset + 1, level: "info" });
        for (let at = 0; at < v; at += 1) log.append([line(at)], at + 1, m.MAX_FOLLOWED);
        return [log.lines.length - m.MAX_FOLLOWED, log.lines.at(-1).offset, log.start === log.lines[0].offset];
    })()"""
    assert call(page, "screens/log/lines.js", kept, 7000) == [0, 6999, True]


def test_a_long_list_is_drawn_in_pages(page: Page) -> None:
    drawn = """(() => {
        const [list, { foot, update }] = [[], m.pages()];
        const show = (n) => update([...Array(n).keys()], (rows) => list.push([rows[0], rows.length]));
        show(60);
        foot.querySelectorAll("button")[1].click();
        show(61);
        show(3);
        return [...list, foot.childElementCount];
    })()"""
    assert call(page, "ui/pager.js", drawn) == [[0, 25], [25, 25], [25, 25], [0, 3], 0]


def test_a_paused_log_holds_a_bounded_number_of_lines(page: Page) -> None:
    places = """(() => {
        const panel = m.logPanel("any");
        const line = (offset) => ({ offset, line_number: offset + 1, level: "info" });
        const send = (from, to) => {
            const logs = Array.from({ length: to - from }, (_, i) => line(from + i));
            panel.add({ logs, next_offset: to });
            return panel.next;
        };
        panel.element.querySelector("[title^=Pause]").click();
        const found = [send(0, 4000), send(4000, 6000), send(6000, 6001)];
        panel.close();
        return found;
    })()"""
    # Held lines are not in the log yet; of too many, none are held.
    assert call(page, "screens/log/panel.js", places) == [0, 6000, 6001]


def test_only_an_edited_form_keeps_its_dialog_open(page: Page) -> None:
    opened = """(() => {
        const open = (content) => {
            const dialog = m.openDialog("any", () => content, "", true);
            const escape = () => {
                dialog.dispatchEvent(new Event("cancel", { cancelable: true })) && dialog.close();
                return dialog.open;
            };
            return { dialog, escape };
        };
        const untouched = open(document.createElement("form")).escape();
        const edited = open(document.createElement("form"));
        edited.dialog.dispatchEvent(new Event("input"));
        const secret = open(document.createElement("div"));
        return [untouched, edited.escape(), secret.escape()];
    })()"""
    assert call(page, "ui/dialog.js", opened) == [False, True, True]
