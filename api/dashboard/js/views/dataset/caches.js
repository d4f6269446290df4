// What was cached of a dataset ahead: whether a training can use it, who does, and its end.

import { whyNot } from "../../access.js";
import { api } from "../../api.js";
import { data } from "../../api_data.js";
import { askWhich } from "../../components/dialog.js";
import { time } from "../../components/time.js";
import { attempt, toast } from "../../components/toast.js";
import { fill, h, setAttribute } from "../../dom.js";
import { bytes, count } from "../../format.js";
import { t, tell, word } from "../../i18n.js";
import { icon } from "../../icons.js";
import { taskAddress } from "../../router.js";

const LIST = 50;
/** How often it is asked while something is being cached. */
const LOOK_MS = 3000;

/** @type {Record<API.DatasetCache["state"], [string, import("../../icons.js").IconName]>} */
const LOOKS = {
  none: ["idle", "clock"],
  building: ["run", "spin"],
  complete: ["ok", "check"],
  changed: ["warn", "warn"],
  missing: ["warn", "warn"],
  failed: ["bad", "cross"],
};

/** @param {string} name of the dataset */
export function cachesList(name) {
  const list = h("ul", { class: "works caches" });
  const element = h("div", { class: "stack", hidden: true }, h("h2", {}, t("caches")), list);
  let timer = 0;
  let isClosed = false;
  let drawn = "";

  async function refetch() {
    clearTimeout(timer);
    const { caches } = await data.caches(name, { limit: LIST });
    if (isClosed) return;
    element.hidden = caches.length === 0;
    const key = JSON.stringify(caches);
    if (key !== drawn) fill(list, caches.map(row));
    drawn = key;
    if (caches.some(({ state }) => state === "building"))
      timer = setTimeout(() => refetch().catch(() => again()), LOOK_MS);
  }
  // A service that is away is asked again.
  const again = () => {
    if (!isClosed) timer = setTimeout(() => refetch().catch(again), LOOK_MS);
  };

  /** @param {API.DatasetCache} cache */
  function row(cache) {
    const [tone, sign] = LOOKS[cache.state];
    const parts = [
      cache.size_bytes === null ? "" : bytes(cache.size_bytes),
      cache.used_by.length ? t("cache.used", { n: count(cache.used_by.length) }) : "",
    ];
    return h(
      "li",
      { class: "work", data: { task: cache.task_id } },
      h(
        "div",
        { class: "work-head" },
        h(
          "span",
          { class: "status chip", data: { tone } },
          icon(sign, sign === "spin" ? "spin" : ""),
          word("cache", cache.state),
        ),
        h("strong", { class: "foreign" }, cache.model_type),
        h("span", { class: "small" }, t("version.n", { n: count(cache.version) })),
        h("a", { class: "faint tiny mono", href: taskAddress(cache.task_id) }, cache.task_id),
        h("span", { class: "grow" }),
        time(cache.built_at ?? cache.created_at),
        removeButton(cache),
      ),
      parts.some(Boolean) && h("p", { class: "small soft" }, parts.filter(Boolean).join(" · ")),
      cache.reason && h("p", { class: "small soft foreign" }, tell(cache.reason, cache.reason_code ?? null)),
    );
  }

  /** @param {API.DatasetCache} cache */
  function removeButton(cache) {
    const isUsed = cache.used_by.length > 0;
    const denied =
      cache.state === "building"
        ? t("cache.builds")
        : isUsed
          ? t("cache.used", { n: count(cache.used_by.length) })
          : whyNot("training:write", cache.owner ?? null);
    const remove = async () => {
      if (denied) return toast("bad", denied);
      const sure = await askWhich({
        title: t("cache.remove"),
        text: h("p", {}, t("cache.remove.text")),
        choices: [{ label: t("delete"), value: "yes", kind: "danger" }],
      });
      if (!sure) return;
      await api.remove(cache.task_id, true);
      await refetch();
    };
    const button = h(
      "button",
      { class: "button small danger", title: denied, on: { click: () => void attempt(remove) } },
      icon("trash"),
      t("delete"),
    );
    setAttribute(button, "aria-disabled", denied ? "true" : null);
    return button;
  }

  return {
    element,
    refetch,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
