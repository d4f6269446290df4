// What a look at the directory of a registered dataset found, and the way to a version of what is there now.

import { data } from "../../api_data.js";
import { note } from "../../components/status.js";
import { attempt, toast } from "../../components/toast.js";
import { h } from "../../dom.js";
import { count } from "../../format.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";

/**
 * @param {API.Dataset} dataset
 * @param {string|null} denied why it may not be read again @param {() => unknown} changed called when it is being read
 * @returns {Child}
 */
export function watchNote({ name, watch }, denied, changed) {
  if (!watch || watch.state === "same") return null;
  if (watch.state === "reading") return note("run", h("p", {}, t("watch.reading")));
  const read = async () => {
    if (denied) return toast("bad", denied);
    await data.refresh(name);
    changed();
  };
  const { added, removed, changed: other } = watch;
  return note(
    watch.state === "gone" ? "bad" : "warn",
    h(
      "p",
      {},
      watch.state === "gone"
        ? t("watch.gone")
        : t("watch.changed", { added: count(added), removed: count(removed), changed: count(other) }),
    ),
    watch.problem && h("p", { class: "foreign" }, watch.problem),
    h(
      "button",
      {
        class: "button small",
        title: denied,
        "aria-disabled": denied ? "true" : null,
        on: { click: () => void attempt(read) },
      },
      icon("redo"),
      t("watch.read"),
    ),
  );
}
