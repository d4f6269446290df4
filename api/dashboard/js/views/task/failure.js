// Why a training failed, what to do about it, and the last that it said.

import { prose } from "../../components/prose.js";
import { note } from "../../components/status.js";
import { fill, h } from "../../dom.js";
import { t, tell, word } from "../../i18n.js";

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
