// Slurm options, loaded if there is a cluster or the copied request has them.

import { fill, h } from "../../ui/dom.js";

export function clusterSection() {
  const element = h("div", { hidden: true });
  /** @type {ReturnType<typeof import("./cluster_options.js").clusterOptions>|null} */
  let fields = null;
  /** @type {API.Overview["executor"]|null} */
  let executor = null;
  /** @type {API.Request["slurm"]} */
  let given;

  async function fetchFields() {
    const { clusterOptions } = await import("./cluster_options.js");
    fields ??= clusterOptions();
    fill(element, fields.element);
    element.hidden = false;
    if (executor) fields.offer(executor);
    fields.choose({ slurm: given });
  }

  const toRequest = () => (fields ? fields.toRequest() : (given ?? undefined));
  return {
    element,
    toRequest,
    /** @param {API.Overview["executor"]} known */
    offer(known) {
      executor = known;
      given = toRequest();
      if (fields || known.name === "slurm") fetchFields();
    },
    /** @param {API.Request} initial */
    choose({ slurm }) {
      given = slurm;
      if (fields || slurm) fetchFields();
    },
    /** @param {SeverityFinding[]} findings */
    show: (findings) => (fields ? fields.show(findings) : []),
  };
}
