// The selection of items: single ones, or all that match the filter without loading each.

/** Most items that one edit may name. */
export const MAX_NAMED = 10_000;

export class Selection {
  /** @type {Set<string>} */
  #ids = new Set();
  isAll = false;

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  /** The number of selected items. @param {number} total that pass the filter */
  count(total) {
    return this.isAll ? total : this.#ids.size;
  }

  get isNone() {
    return !this.isAll && this.#ids.size === 0;
  }

  get ids() {
    return [...this.#ids];
  }

  /** @param {API.Item|undefined} item */
  has(item) {
    return this.isAll || (item !== undefined && this.#ids.has(item.item_id));
  }

  all() {
    this.isAll = true;
    this.#ids.clear();
    this.changed();
  }

  clear() {
    this.isAll = false;
    this.#ids.clear();
    this.changed();
  }

  /** Selects exactly these. @param {readonly (API.Item|undefined)[]} items */
  set(items) {
    this.isAll = false;
    this.#ids = new Set(items.flatMap((item) => (item ? [item.item_id] : [])));
    this.changed();
  }

  /** Adds these. @param {readonly (API.Item|undefined)[]} items */
  add(items) {
    for (const item of items) if (item) this.#ids.add(item.item_id);
    this.changed();
  }

  /** @param {API.Item} item */
  toggle({ item_id: id }) {
    if (!this.#ids.delete(id)) this.#ids.add(id);
    this.changed();
  }
}
