// Pushes of one model's versions, as a list of transfers.

import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { transferList, watchTransfers } from "../models/transfers.js";

/** So many of them are shown. */
const SHOWN = 10;

/** @param {string} model @returns {import("../models/transfers.js").TransferKind<API.Push>} */
const pushesOf = (model) => ({
  ask: async () => (await models.pushes({ model, limit: SHOWN })).pushes,
  change: models.changePush,
  question: {
    title: "push.cancel.title",
    text: "push.cancel.text",
    sure: "push.cancel.do",
    keep: "push.cancel.keep",
  },
  idOf: ({ push_id: id }) => id,
  nameOf: ({ version, repository, push_id: id }) => (repository ? `v${version} → ${repository}` : id),
  filesOf: ({ files }) =>
    files.map(({ name, size, sent, status }) => ({
      name,
      title: null,
      text: status === "completed" ? bytes(size) : `${bytes(sent)} / ${bytes(size)}`,
    })),
  resultOf: ({ url, is_new: isNew }) => [
    isNew === false && h("p", { class: "soft" }, t("push.nothing_new")),
    url?.startsWith("http") &&
      h("a", { class: "foreign", href: url, target: "_blank", rel: "noopener noreferrer" }, url),
  ],
});

/** @param {string} model */
export function pushesPanel(model) {
  const watched = watchTransfers(pushesOf(model), () => {});
  const list = transferList(watched);
  const element = h(
    "section",
    { class: "panel downloads", "aria-label": t("pushes"), hidden: true },
    h("header", {}, h("h2", {}, t("pushes"))),
    list.element,
  );
  const forget = watched.shown.watch((found) => {
    element.hidden = found.length === 0;
  });
  return {
    element,
    refetch: watched.refetch,
    look: watched.look,
    close() {
      forget();
      list.close();
      watched.close();
    },
  };
}
