// The items of a version, fetched page by page as needed.

import { data } from "../../app/api_data.js";

/** Items per page. */
const PAGE = 100;
/** Items per page when all are fetched: the service's maximum. */
const LARGE_PAGE = 500;
const AT_A_TIME = 2;
/** Most items that are fetched completely, for counting tags and filtering buckets. */
export const MAX_COUNT = 50_000;

/** @typedef {{search: string, problem: string, excluded?: "true"|"false"}} Filter */

export class Items {
  total = 0;
  /** Whether the first page is loaded. */
  isKnown = false;
  /** @type {number|null} */
  #version = null;
  /** @type {Filter} */
  #filter = { search: "", problem: "" };
  /** @type {Map<number, API.Item[]>} by page number */
  #pages = new Map();
  /** Instead of pages: the items selected by id. @type {API.Item[]|null} */
  #chosen = null;
  /** @type {Set<number>} */
  #loading = new Set();
  /** @type {[from: number, to: number]} */
  #wanted = [0, 0];
  #generation = 0;

  /**
   * @param {string} name of the dataset
   * @param {{changed: () => void, failed: (error: unknown) => void}} listeners called when items were loaded, or failed to load
   */
  constructor(name, listeners) {
    this.name = name;
    this.listeners = listeners;
  }

  /**
   * Starts with another version or filter.
   * @param {number} version @param {Filter} filter @param {ReadonlySet<string>|null} [only] ids of the items shown
   */
  async show(version, filter, only = null) {
    const mine = ++this.#generation;
    this.#version = version;
    this.#filter = filter;
    this.#loading.clear();
    // The old items stay until the new ones are loaded.
    const chosen = only && (await this.#everyItem(filter)).filter(({ item_id: id }) => only.has(id));
    const first = chosen ? null : await this.#fetch(0, PAGE, filter);
    if (mine !== this.#generation) return;
    this.#chosen = chosen;
    this.#pages.clear();
    if (first) this.#pages.set(0, first.items);
    this.total = chosen?.length ?? first?.pagination.total ?? 0;
    this.isKnown = true;
    this.listeners.changed();
  }

  /**
   * Moves to a new version in which only the captions of these items changed.
   * @param {number} version @param {readonly API.Item[]} changed
   */
  follow(version, changed) {
    this.#version = version;
    const known = new Map(changed.map((item) => [item.item_id, item]));
    for (const page of [...this.#pages.values(), this.#chosen ?? []]) {
      for (const [i, item] of page.entries()) page[i] = known.get(item.item_id) ?? item;
    }
    this.listeners.changed();
  }

  /** The item at an index, or undefined if it is not loaded. @param {number} index @returns {API.Item|undefined} */
  at(index) {
    if (this.#chosen) return this.#chosen[index];
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /**
   * Fetches the item at an index if needed. Throws Refused or Unreachable.
   * @param {number} index @returns {Promise<API.Item|undefined>}
   */
  async get(index) {
    return this.at(index) ?? (await this.#fetch(index, 1, this.#filter)).items[0];
  }

  /** Fetches missing items of a range; drops earlier requests. @param {number} from @param {number} to */
  want(from, to) {
    this.#wanted = [from, Math.min(to, this.total)];
    this.#pump();
  }

  /** The loaded items. @returns {API.Item[]} */
  get known() {
    return this.#chosen ?? [...this.#pages.values()].flat();
  }

  /** All items that match the filter. Throws Refused or Unreachable. @returns {Promise<API.Item[]>} */
  async all() {
    return this.#chosen ?? (await this.#everyItem(this.#filter));
  }

  /** All items of the version, ignoring the filter. Throws Refused or Unreachable. */
  whole = () => this.#everyItem({ search: "", problem: "" });

  /** Whether there are too many items to fetch all. */
  get isVast() {
    return this.total > MAX_COUNT;
  }

  #pump() {
    if (this.#chosen) return;
    const [from, to] = this.#wanted;
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page += 1) {
      if (this.#loading.size >= AT_A_TIME) return;
      if (!this.#pages.has(page) && !this.#loading.has(page)) this.#ask(page);
    }
  }

  /** @param {number} page */
  async #ask(page) {
    const mine = this.#generation;
    this.#loading.add(page);
    try {
      const found = await this.#fetch(page * PAGE, PAGE, this.#filter);
      if (mine !== this.#generation) return;
      this.#pages.set(page, found.items);
      this.#loading.delete(page);
      this.listeners.changed();
      this.#pump();
    } catch (error) {
      if (mine !== this.#generation) return;
      this.#loading.delete(page);
      this.listeners.failed(error);
    }
  }

  /** @param {number} offset @param {number} limit @param {Filter} filter */
  #fetch = (offset, limit, filter) => data.items(this.name, { version: this.#version, ...filter, limit, offset });

  /** @param {Filter} filter */
  async #everyItem(filter) {
    const version = this.#version;
    /** @type {API.Item[]} */
    const found = [];
    /** @type {string|null} */
    let cursor = null;
    do {
      const values = { version, ...filter, limit: LARGE_PAGE, cursor };
      /** @type {API.ItemList} */
      const page = await data.items(this.name, values);
      found.push(...page.items);
      cursor = page.pagination.next_cursor;
    } while (cursor && found.length < MAX_COUNT);
    return found;
  }
}
