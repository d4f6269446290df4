// The Slurm options of a training. Hidden without a cluster.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { numberInput, suggestions, textInput } from "../../ui/fields.js";
import { formField } from "./fields.js";
import { findingItem, placeFindings } from "./findings.js";

/** @typedef {NonNullable<API.Request["slurm"]>} SlurmOptions */
/** Upper limits of the service. @satisfies {Record<string, number>} */
const NUMBERS = { time_limit: 527_040, cpus_per_gpu: 1024, memory_per_gpu: 2 ** 31 };
const TEXTS = { partition: 256, constraint: 256, account: 64, qos: 64 };

/** @param {string} name @param {HTMLInputElement} input */
const field = (name, input) =>
  formField({
    name: `slurm-${name}`,
    label: t(/** @type {any} */ (`slurm.${name}`)),
    pointers: [`/slurm/${name}`],
    input,
    hint: t(/** @type {any} */ (`slurm.${name}.hint`)),
  });

export function clusterOptions() {
  const [partitions, features] = [choices("slurm-partitions"), choices("slurm-features")];
  const lists = { partition: partitions.id, constraint: features.id };
  const texts = Object.entries(TEXTS).map(([name, maxlength]) => {
    const list = lists[/** @type {keyof lists} */ (name)];
    return { name, ...field(name, textInput({ maxlength, list, placeholder: t("optional"), spellcheck: "false" })) };
  });
  const numbers = Object.entries(NUMBERS).map(([name, max]) => ({
    name,
    ...field(name, numberInput({ min: 1, max, step: 1, placeholder: t("optional") })),
  }));
  const fields = [...texts, ...numbers];
  const wrong = h("ul.findings");
  const element = h(
    "fieldset.field.cluster-options",
    { hidden: true },
    h("legend.label", t("slurm")),
    h(
      "div.form-grid",
      fields.map((each) => each.element),
    ),
    partitions,
    features,
    wrong,
  );
  let hasCluster = false;

  /** @returns {SlurmOptions|undefined} */
  function toRequest() {
    const given = [
      ...texts.map(({ name, input }) => [name, input.value.trim()]),
      ...numbers.map(({ name, input }) => [name, input.valueAsNumber]),
    ].filter(([, value]) => value);
    return given.length ? /** @type {SlurmOptions} */ (Object.fromEntries(given)) : undefined;
  }

  // Options of a copied request are shown even without a cluster: the service rejects them until they are removed.
  const show = () => {
    element.hidden = !hasCluster && !toRequest();
  };
  return {
    element,
    toRequest,
    /** @param {API.Overview["executor"]} executor */
    offer(executor) {
      hasCluster = executor.name === "slurm";
      for (const [list, names] of /** @type {const} */ ([
        [partitions, executor.partitions],
        [features, executor.features],
      ]))
        fill(list, suggestions(names));
      show();
    },
    /** @param {Pick<API.Request, "slurm">} initial */
    choose({ slurm }) {
      const given = /** @type {Record<string, string|number|null>} */ (slurm ?? {});
      for (const { name, input } of fields) input.value = String(given[name] ?? "");
      show();
    },
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => pointer === "/slurm");
      fill(
        wrong,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return [...placeFindings(own, element), ...fields.flatMap((each) => each.show(findings))];
    },
  };
}

/** @param {string} id */
const choices = (id) => h("datalist", { id });
