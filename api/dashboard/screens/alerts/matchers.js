// Rows for label matchers in a form.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { datalist } from "../../ui/fields.js";
import { icon } from "../../ui/icons.js";

/** Known labels; users can enter others. */
const LABELS = ["rule", "severity", "scope", "gpu_uuid", "gpu_name", "node", "task_id", "owner", "disk", "channel"];

/** @param {API.Matcher[]} first @param {boolean} [mayBeNone] no matcher is needed, which matches everything */
export function matcherFields(first, mayBeNone = false) {
  const names = datalist("alert-labels", LABELS);
  const rows = h("div.stack");
  /** @type {{element: HTMLElement, value: () => API.Matcher}[]} */
  let all = [];

  /** @param {API.Matcher} matcher */
  function add({ label, value }) {
    const name = h("input.input", {
      value: label,
      required: true,
      pattern: "[A-Za-z0-9_]+",
      maxlength: 64,
      list: names.id,
      "aria-label": t("matcher.label"),
      placeholder: t("matcher.label"),
    });
    const what = h("input.input", {
      value,
      required: true,
      maxlength: 200,
      "aria-label": t("matcher.value"),
      placeholder: t("matcher.value"),
    });
    const remove = h(
      "button.button.small",
      {
        type: "button",
        "aria-label": t("matcher.remove"),
        on: {
          click: () => {
            all = all.filter((each) => each !== row);
            show();
          },
        },
      },
      t("remove"),
    );
    const row = {
      element: h("div.matcher-row", name, h("span.faint", "="), what, remove),
      value: () => ({ label: name.value.trim(), value: what.value.trim(), is_glob: what.value.includes("*") }),
    };
    all.push(row);
  }

  function show() {
    fill(
      rows,
      all.map(({ element }) => element),
    );
    rows.classList.toggle("single", all.length === 1 && !mayBeNone);
  }

  for (const matcher of first) add(matcher);
  show();
  const more = h(
    "button.button.small",
    {
      type: "button",
      on: {
        click: () => {
          add({ label: "", value: "" });
          show();
          all.at(-1)?.element.querySelector("input")?.focus();
        },
      },
    },
    icon("plus"),
    t("matcher.add"),
  );
  return {
    element: h("div.stack.matchers-field", names, rows, h("div", more), h("p.faint.tiny", t("matcher.hint"))),
    values: () => all.map((row) => row.value()),
  };
}
