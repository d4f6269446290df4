// Why a training failed, what to do about it, and the last that it said.

import { t, tell, word } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";

export function failureView() {
  const element = h("div");
  return {
    element,
    /** @param {API.Cause|null} failure */
    update(failure) {
      const lines = h("pre", { class: "file foreign", tabindex: 0 }, failure?.last_lines.join("\n"));
      const title = word("cause", failure?.code);
      const detail = failure ? tell(failure.detail, failure.detail_code) : "";
      fill(
        element,
        failure &&
          note(
            "bad",
            !detail.startsWith(title) && h("strong", {}, title),
            h("p", { class: "foreign" }, prose(detail)),
            failure.remedy &&
              h(
                "p",
                { class: "foreign" },
                h("b", {}, t("remedy")),
                " ",
                prose(tell(failure.remedy, failure.remedy_code)),
              ),
            failure.last_lines.length > 0 &&
              h("details", { open: true }, h("summary", { class: "soft" }, t("last.lines")), lines),
          ),
      );
      // What went wrong stands at the end.
      lines.scrollTop = lines.scrollHeight;
    },
  };
}
