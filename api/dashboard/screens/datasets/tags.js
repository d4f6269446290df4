// Tag counts of a version's captions. Tags are separated by commas.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count, percent } from "../../ui/format.js";
import { panel } from "../../ui/panel.js";
import { attempt } from "../../ui/toast.js";
import { MAX_COUNT } from "./items.js";

const SHOWN = 300;

/**
 * Tags and the number of captions that contain each, most frequent first.
 * @param {readonly (string|null)[]} captions @returns {[tag: string, items: number][]}
 */
function countTags(captions) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const caption of captions) {
    const tags = new Set((caption ?? "").split(/[,，\n]/).map((tag) => tag.trim()));
    for (const tag of tags) if (tag) found.set(tag, (found.get(tag) ?? 0) + 1);
  }
  return [...found].sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
}

/** @param {import("./items.js").Items} items @param {(tag: string) => void} search */
export function tagsPanel(items, search) {
  const body = h("div.body");
  const filter = h("input.input", { type: "search", placeholder: t("tags.search"), "aria-label": t("tags.search") });
  /** @type {[string, number][]} */
  let found = [];
  let total = 0;

  function draw() {
    const searched = filter.value.trim().toLowerCase();
    const matching = found.filter(([tag]) => tag.toLowerCase().includes(searched));
    const most = found[0]?.[1] ?? 1;
    if (!matching.length) return void fill(body, h("p.faint", t(total ? "filter.none" : "tags.none")));
    fill(
      body,
      h(
        "ol.tag-list",
        matching.slice(0, SHOWN).map(([tag, n]) => tagRow(tag, n, most)),
      ),
      matching.length > SHOWN && h("p.faint.small", t("more", { n: count(matching.length - SHOWN) })),
    );
  }

  /** @param {string} tag @param {number} n @param {number} most */
  function tagRow(tag, n, most) {
    const bar = h("i");
    bar.style.width = `${(100 * n) / most}%`;
    return h(
      "li",
      h(
        "button.tag-count",
        { title: t("tags.find", { tag }), on: { click: () => search(tag) } },
        bar,
        h("span.clip.foreign", tag),
        h("span.num.soft", `${count(n)} · ${percent((100 * n) / total)}`),
      ),
    );
  }

  filter.addEventListener("input", draw);
  return {
    element: panel("", t("tags"), h("div.tools", filter), body),
    async refetch() {
      if (!found.length) fill(body, h("p.faint", t("tags.counting")));
      const all = await attempt(items.whole);
      if (!all) return;
      found = countTags(all.map(({ caption }) => caption));
      total = all.length;
      draw();
      if (all.length >= MAX_COUNT) body.append(h("p.faint.small", t("tags.vast", { n: count(MAX_COUNT) })));
    },
  };
}
