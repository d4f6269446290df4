// Why a training failed, what to do about it, and the last that it said.

import { fill, h } from "../../dom.js";
import { t, word } from "../../i18n.js";
import { note } from "../../components/status.js";

export function failureView() {
  const element = h("div");
  return {
    element,
    update(failure) {
      fill(
        element,
        failure &&
          note(
            "bad",
            h("strong", {}, word("cause", failure.code)),
            h("p", { class: "foreign" }, failure.detail),
            failure.remedy && h("p", { class: "foreign" }, h("b", {}, t("remedy")), " ", failure.remedy),
            failure.last_lines?.length > 0 && h("details", { open: true }, h("summary", { class: "soft" }, t("last.lines")), h("pre", { class: "file foreign" }, failure.last_lines.join("\n"))),
          ),
      );
    },
  };
}
