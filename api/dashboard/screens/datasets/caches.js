// The caches of a dataset: state, users, and deletion.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { data } from "../../app/api_data.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { actionButton } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { time } from "../../ui/time.js";
import { lookChip, polledList } from "./list_parts.js";

const LIST = 50;
/** Poll interval while a cache is created. */
const POLL_MS = 3000;

/** @type {Record<API.DatasetCache["state"], import("./list_parts.js").Look>} */
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
  const list = polledList(t("caches"), "works caches", {
    ask: async () => (await data.caches(name, { limit: LIST })).caches,
    row,
    isActive: ({ state }) => state === "building",
    pauseMs: POLL_MS,
  });

  /** @param {API.DatasetCache} cache */
  function row(cache) {
    const parts = [
      cache.size_bytes === null ? "" : bytes(cache.size_bytes),
      cache.used_by.length ? t("cache.used", { n: count(cache.used_by.length) }) : "",
    ];
    return h(
      "li.work",
      { data: { task: cache.task_id } },
      h(
        "div.work-head",
        lookChip(LOOKS[cache.state], labelFor("cache", cache.state)),
        h("strong.foreign", cache.model_type),
        h("span.small", t("version.n", { n: count(cache.version) })),
        h("a.faint.tiny.mono", { href: taskAddress(cache.task_id) }, cache.task_id),
        h("span.grow"),
        time(cache.built_at ?? cache.created_at),
        removeButton(cache),
      ),
      parts.some(Boolean) && h("p.small.soft", parts.filter(Boolean).join(" · ")),
      cache.reason && h("p.small.soft.foreign", translate(cache.reason, cache.reason_code ?? null)),
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
      const isSure = await askSure({
        title: t("cache.remove"),
        text: h("p", t("cache.remove.text")),
        action: t("delete"),
        kind: "danger",
      });
      if (!isSure) return;
      await api.remove(cache.task_id, true);
      await list.refetch();
    };
    return actionButton("small danger", denied, remove, icon("trash"), t("delete"));
  }

  return list;
}
