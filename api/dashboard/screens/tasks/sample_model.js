// The samples of a training as a grid: rows are saved models, columns are prompts with their settings.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";

/** The ratings in the order of their buttons; 0 rejects a sample. */
export const RATINGS = [1, 2, 3, 4, 5, 0];

/** A row: a saved model; null is the base model, that is strength 0. @typedef {string|null} Row */
/** @typedef {{key: string, settings: string, strength: number, prompt: string, seed: number, negative: string|null}} Column */

export class SampleTable {
  /** @type {Row[]} */
  rows = [];
  /** @type {Column[]} */
  columns = [];
  /** @type {Map<string, API.GridSample>} */
  #cells = new Map();

  /** @param {readonly API.GridSample[]} samples newest first @param {readonly string[]} saved saved models, oldest first */
  constructor(samples, saved) {
    const oldestFirst = [...samples].reverse();
    const made = new Set(samples.map(({ checkpoint }) => checkpoint));
    const gone = [...made].filter((name) => name !== null && !saved.includes(name));
    gone.sort((a, b) => `${a}`.localeCompare(`${b}`, "en", { numeric: true }));
    this.rows = [...(made.has(null) ? [null] : []), ...gone, ...saved.filter((name) => made.has(name))];
    /** The base model belongs to the columns of every strength. @type {Map<string, Map<number, Column>>} */
    const bySettings = new Map();
    for (const sample of oldestFirst) {
      const found = bySettings.get(sample.settings) ?? new Map();
      bySettings.set(sample.settings, found);
      if (sample.checkpoint !== null && !found.has(sample.strength)) found.set(sample.strength, columnOf(sample));
    }
    for (const sample of oldestFirst) {
      const found = bySettings.get(sample.settings) ?? new Map();
      if (!found.size) found.set(0, columnOf(sample));
      for (const column of sample.checkpoint === null ? found.values() : [found.get(sample.strength)]) {
        const key = cellKey(sample.checkpoint, column);
        // A picture that was rendered again keeps its rating until it has its own.
        const rating = sample.rating ?? this.#cells.get(key)?.rating ?? null;
        this.#cells.set(key, { ...sample, rating });
      }
    }
    this.columns = [...bySettings.values()].flatMap((found) => [...found.values()]);
  }

  /** @param {Row} row @param {Column} column */
  at(row, column) {
    return this.#cells.get(cellKey(row, column));
  }

  /** All samples with a picture, each once. */
  get pictures() {
    return [...new Map([...this.#cells.values()].map((each) => [each.sample_id, each])).values()].filter(
      ({ url }) => url !== null,
    );
  }

  /**
   * The next picture in a direction, around the edge.
   * @param {number} x @param {number} y @param {number} dx @param {number} dy @returns {[number, number]}
   */
  next(x, y, dx, dy) {
    const [width, height] = [this.columns.length, this.rows.length];
    for (let i = 1; i <= (dx ? width : height); i++) {
      const [column, row] = [(((x + dx * i) % width) + width) % width, (((y + dy * i) % height) + height) % height];
      if (this.at(this.rows[row], this.columns[column])?.url) return [column, row];
    }
    return [x, y];
  }
}

/** @param {API.GridSample} sample @returns {Column} */
const columnOf = ({ settings, strength, prompt, seed, negative }) => ({
  key: `${settings} ${strength}`,
  settings,
  strength,
  prompt,
  seed,
  negative,
});

/** @param {Row} row @param {Column} column */
const cellKey = (row, column) => `${row ?? ""} ${column.key}`;

/** @param {Row} row */
export const rowName = (row) => row ?? t("grid.base");

/** Without a star, which marks the chosen model. @param {number|null|undefined} rating */
export const ratingText = (rating) =>
  rating === null || rating === undefined ? "" : rating === 0 ? "✗" : `${rating}/5`;

/** @param {API.GridSample} sample */
export const isVideo = ({ media_type: type }) => type?.startsWith("video/") ?? false;

/** Whether it moves. @param {API.GridSample} sample */
export const isClip = (sample) => isVideo(sample) || (sample.frames ?? 1) > 1;

/** @param {API.GridSample} sample */
export const fileName = ({ checkpoint, prompt_index: index, media_type: type }) =>
  `${checkpoint ?? "base"}-${index + 1}.${type?.split("/")[1] ?? "png"}`;

/** The rating that a key stands for; undefined: none. @param {string} key */
export const ratingOf = (key) => (/^[1-5]$/.test(key) ? Number(key) : key === "x" || key === "X" ? 0 : undefined);

/** @param {"button.button"|"button.button.small"} kind @param {(rating: number) => void} rate */
export const ratingButtons = (kind, rate) =>
  RATINGS.map((rating) =>
    h(
      kind,
      {
        type: "button",
        "aria-label": rating ? t("viewer.rate", { n: rating }) : t("viewer.reject"),
        on: { click: () => rate(rating) },
      },
      rating || "✗",
    ),
  );

/** Whether clips may start by themselves. */
export const mayMove = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
