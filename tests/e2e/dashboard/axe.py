"""Accessibility checks by axe: dark and wide, light and, if the element stays open, at phone size."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect

from tests.lengths import IN_FULL

AXE = Path(__file__).resolve().parents[3] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = ViewportSize(width=390, height=844)

#: What depends on theme and size: the rules for other looks than the first, unless tests run in full.
LOOKS_RULES = ("color-contrast", "scrollable-region-focusable")

_RUN = """async ([part, rules]) => {
    // Scrollable areas become focusable, and opening animations start, within the next frames.
    for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
    // Wait for animations: an element that fades in has too little contrast.
    const ends = (animation) => animation.effect.getComputedTiming().iterations !== Infinity;
    await Promise.allSettled(document.getAnimations().filter(ends).map(({ finished }) => finished));
    const found = await axe.run(part, { resultTypes: ["violations"], ...(rules && { runOnly: rules }) });
    const messages = ({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`);
    return found.violations.flatMap(messages);
}"""


def looks(page: Page, *, is_resized: bool = True) -> Iterator[str]:
    """Switch the open page to dark, then to light at phone size if `is_resized`; then back to dark and wide."""
    wide = page.viewport_size
    _set_theme(page, "dark")
    yield "dark"
    _set_theme(page, "light")
    if IN_FULL or not is_resized or wide is None:
        yield "light"
    if is_resized and wide is not None:
        page.set_viewport_size(PHONE)
        yield "light phone"
        page.set_viewport_size(wide)
    _set_theme(page, "dark")


def _set_theme(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)


def violations(page: Page, axe: str, part: str = "html", *, is_resized: bool = True) -> list[str]:
    """Return violations prefixed by the look. `is_resized` is False for elements that close on resize."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    return [f"{look}: {each}" for look in looks(page, is_resized=is_resized) for each in _find(page, part, look)]


def _find(page: Page, part: str, look: str) -> list[str]:
    asked = [part, None if IN_FULL or look == "dark" else LOOKS_RULES]
    found: list[str] = page.evaluate(_RUN, asked)
    # Elements that appeared during the run may not be laid out yet: count only violations found twice.
    return [each for each in page.evaluate(_RUN, asked) if each in found] if found else []
