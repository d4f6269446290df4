// A saved model with its versions, newest first.

import { whyNot } from "../../app/access.js";
import { Refused } from "../../app/api.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { go, registeredAddress } from "../../app/router.js";
import { guarded } from "../../ui/buttons.js";
import { fill, h, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { menuButton } from "../../ui/menu.js";
import { pagerOf } from "../../ui/pager.js";
import { backLink } from "../../ui/sections.js";
import { empty } from "../../ui/states.js";
import { transferList, watchTransfers } from "../models/transfers.js";
import { changeModel, deleteModel } from "./dialogs.js";
import { sampleGallery } from "./samples.js";
import { versionCard } from "./version.js";

const ROWS = 20;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, { id: name }) {
  /** @type {API.RegisteredModel|null} */
  let model = null;
  let offset = 0;
  const title = h("h1.clip.foreign", name);
  const [about, versions, foot, missing] = [h("div.dataset-about"), h("ul.version-cards"), h("div.pager"), h("div")];
  /** @type {Map<number, ReturnType<typeof sampleGallery>>} */
  const galleries = new Map();
  const pushes = pushesPanel(name);
  const total = h("span.count-badge");
  const tools = h("div.tools");
  const menu = menuButton(t("actions.of", { name }), choices);

  function choices() {
    const known = model;
    if (!known) return [];
    const denied = whyNot("models:write", known.owner);
    return [
      {
        label: t("data.change"),
        icon: /** @type {const} */ ("pen"),
        denied,
        run: guarded(denied, () =>
          changeModel(known, (now) => (now.name === name ? refetch() : go(registeredAddress(now.name).slice(1)))),
        ),
      },
      {
        label: t("data.delete"),
        icon: /** @type {const} */ ("trash"),
        danger: true,
        denied,
        run: guarded(denied, async () => (await deleteModel(known)) && go("/registry")),
      },
    ];
  }

  async function refetch() {
    try {
      const [found, page] = await Promise.all([
        models.registered(name),
        models.versions(name, { limit: ROWS, offset }),
        pushes.refetch(),
      ]);
      model = found;
      show(page);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error;
      fill(missing, empty("cube", t("registered.missing", { name })));
      tools.hidden = true;
      fill(versions);
      fill(about);
    }
  }

  /** The gallery is reused when cards are rebuilt. @param {API.ModelVersion} version @param {string|null} owner */
  function galleryOf(version, owner) {
    const gallery = galleries.get(version.version) ?? sampleGallery(version, owner);
    galleries.set(version.version, gallery);
    gallery.update(version);
    return gallery;
  }

  const pushed = () => pushes.refetch().then(() => pushes.element.scrollIntoView({ block: "nearest" }));

  /** @param {API.ModelVersionList} page */
  function show(page) {
    const known = /** @type {API.RegisteredModel} */ (model);
    fill(missing, page.versions.length === 0 && empty("cube", t("registered.empty")));
    tools.hidden = false;
    setText(title, known.name);
    fill(total, t("registry.versions", { n: count(known.versions) }));
    fill(
      about,
      known.description && h("p.soft.foreign", known.description),
      known.tags.length > 0 &&
        h(
          "div.tag-row",
          known.tags.map((tag) => h("span.tag.foreign", tag)),
        ),
      known.owner && h("span.small.soft.foreign", t("owner.n", { owner: known.owner })),
    );
    const hadFocus = versions.contains(document.activeElement);
    const changed = () => refetch().catch(() => app.stream.retry());
    fill(
      versions,
      page.versions.map((each) => {
        const gallery = galleryOf(each, known.owner);
        const isNewest = each.version === known.latest?.version;
        return versionCard(each, known.owner, isNewest, changed, gallery.element, pushed);
      }),
    );
    for (const [number, gallery] of galleries) {
      if (page.versions.some(({ version }) => version === number)) continue;
      gallery.close();
      galleries.delete(number);
    }
    if (hadFocus) /** @type {HTMLElement|null} */ (versions.querySelector("a, button"))?.focus();
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      changed();
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, page.versions.length, page.pagination, goTo));
    foot.hidden = page.pagination.total <= ROWS;
  }
  fill(tools, menu);
  return {
    element: h(
      "div.screen",
      backLink("#/registry", t("models.registry")),
      h("div.screen-head", title, total, tools),
      about,
      missing,
      versions,
      foot,
      pushes.element,
    ),
    title: () => name,
    topics: "gpu,task,system",
    on: { status: pushes.refetchSoon },
    refetch,
    close() {
      pushes.close();
      for (const gallery of galleries.values()) gallery.close();
    },
  };
}

/** Most pushes shown. */
const SHOWN = 10;

/** @param {string} model @returns {import("../models/transfer.js").TransferKind<API.Push>} */
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
    isNew === false && h("p.soft", t("push.nothing_new")),
    url?.startsWith("http") && h("a.foreign", { href: url, target: "_blank", rel: "noopener noreferrer" }, url),
  ],
});

/** @param {string} model */
function pushesPanel(model) {
  const watched = watchTransfers(pushesOf(model), () => {});
  const list = transferList(watched);
  const element = h(
    "section.panel.downloads",
    { "aria-label": t("pushes"), hidden: true },
    h("header", h("h2", t("pushes"))),
    list.element,
  );
  const forget = watched.shown.watch((found) => {
    element.hidden = found.length === 0;
  });
  return {
    element,
    refetch: watched.refetch,
    refetchSoon: watched.refetchSoon,
    close() {
      forget();
      list.close();
      watched.close();
    },
  };
}
