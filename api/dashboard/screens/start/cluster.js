// The place of what is wished of a cluster: its fields are fetched where there is one, or a copied request has wishes.

import { fill, h } from "../../ui/dom.js";

export function clusterPlace() {
  const element = h("div", { hidden: true });
  /** @type {ReturnType<typeof import("./cluster_options.js").clusterWishes>|null} */
  let fields = null;
  /** @type {API.Overview["executor"]|null} */
  let executor = null;
  /** @type {API.Request["slurm"]} */
  let given;

  async function fetchFields() {
    const { clusterWishes } = await import("./cluster_options.js");
    fields ??= clusterWishes();
    fill(element, fields.element);
    element.hidden = false;
    if (executor) fields.offer(executor);
    fields.choose({ slurm: given });
  }

  const wish = () => (fields ? fields.wish() : (given ?? undefined));
  return {
    element,
    wish,
    /** @param {API.Overview["executor"]} known */
    offer(known) {
      executor = known;
      given = wish();
      if (fields || known.name === "slurm") fetchFields();
    },
    /** @param {API.Request} begun */
    choose({ slurm }) {
      given = slurm;
      if (fields || slurm) fetchFields();
    },
    /** @param {SeverityFinding[]} findings */
    show: (findings) => (fields ? fields.show(findings) : []),
  };
}
