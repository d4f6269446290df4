"""What axe finds on a page, in both themes and on a phone."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect

AXE = Path(__file__).resolve().parents[3] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = ViewportSize(width=390, height=844)

_RUN = """async (part) => {
    // Areas that are cut off take the focus, and what opens begins to rise, with the next frames.
    for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
    // What still rises into view is paler than it will be.
    const ends = (animation) => animation.effect.getComputedTiming().iterations !== Infinity;
    await Promise.allSettled(document.getAnimations().filter(ends).map(({ finished }) => finished));
    const found = await axe.run(part, { resultTypes: ["violations"] });
    const told = ({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`);
    return found.violations.flatMap(told);
}"""


def looks(page: Page, *, is_resized: bool = True) -> Iterator[str]:
    """Dark, light and, if `is_resized`, on a phone, while the page stays open; at the end it is dark and wide again."""
    wide = page.viewport_size
    _be(page, "dark")
    yield "dark"
    _be(page, "light")
    yield "light"
    if is_resized and wide is not None:
        page.set_viewport_size(PHONE)
        yield "phone"
        page.set_viewport_size(wide)
    _be(page, "dark")


def _be(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)


def violations(page: Page, axe: str, part: str = "html", *, is_resized: bool = True) -> list[str]:
    """Each with the look in which it shows; `is_resized` is False for what closes when the window changes."""
    page.evaluate(axe)
    return [f"{look}: {each}" for look in looks(page, is_resized=is_resized) for each in _find(page, part)]


def _find(page: Page, part: str) -> list[str]:
    found: list[str] = page.evaluate(_RUN, part)
    # Of what came while axe looked, an area does not know its size yet: what is so for a frame only is no violation.
    return [each for each in page.evaluate(_RUN, part) if each in found] if found else []
