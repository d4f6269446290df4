// The items of a version, of which only those are fetched that are looked at; they are many.

import { data } from "../../app/api_data.js";

/** Items a page. */
const PAGE = 100;
/** Items a page when all are wanted: as many as the service gives. */
const LARGE_PAGE = 500;
const AT_A_TIME = 2;
/** So many are looked through here at most: tags are counted, buckets are filtered. */
export const MOST = 50_000;

/** @typedef {{search: string, problem: string, excluded?: "true"|"false"}} Filter */

export class Items {
  total = 0;
  /** Whether the first page is there. */
  isKnown = false;
  /** @type {number|null} */
  #version = null;
  /** @type {Filter} */
  #filter = { search: "", problem: "" };
  /** @type {Map<number, API.Item[]>} by the number of the page */
  #pages = new Map();
  /** In place of pages: those that were chosen here. @type {API.Item[]|null} */
  #chosen = null;
  /** @type {Set<number>} */
  #asked = new Set();
  /** @type {[from: number, to: number]} */
  #wanted = [0, 0];
  #generation = 0;

  /**
   * @param {string} name of the dataset
   * @param {{changed: () => void, failed: (error: unknown) => void}} tell when items came, or did not
   */
  constructor(name, tell) {
    this.name = name;
    this.tell = tell;
  }

  /**
   * Begins anew with these.
   * @param {number} version @param {Filter} filter @param {ReadonlySet<string>|null} [only] the ids of those that are shown
   */
  async show(version, filter, only = null) {
    const mine = ++this.#generation;
    this.#version = version;
    this.#filter = filter;
    this.#asked.clear();
    // What was there stays until what comes instead is here.
    const chosen = only && (await this.#everyItem(filter)).filter(({ item_id: id }) => only.has(id));
    const first = chosen ? null : await this.#fetch(0, PAGE, filter);
    if (mine !== this.#generation) return;
    this.#chosen = chosen;
    this.#pages.clear();
    if (first) this.#pages.set(0, first.items);
    this.total = chosen?.length ?? first?.pagination.total ?? 0;
    this.isKnown = true;
    this.tell.changed();
  }

  /** The version went on, and only these items of it changed: captions. @param {number} version @param {readonly API.Item[]} changed */
  follow(version, changed) {
    this.#version = version;
    const known = new Map(changed.map((item) => [item.item_id, item]));
    for (const page of [...this.#pages.values(), this.#chosen ?? []]) {
      for (const [i, item] of page.entries()) page[i] = known.get(item.item_id) ?? item;
    }
    this.tell.changed();
  }

  /** The item at a place; undefined when it is not here yet. @param {number} index @returns {API.Item|undefined} */
  at(index) {
    if (this.#chosen) return this.#chosen[index];
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** The item at a place, once it is here. Throws Refused or Unreachable. @param {number} index @returns {Promise<API.Item|undefined>} */
  async get(index) {
    return this.at(index) ?? (await this.#fetch(index, 1, this.#filter)).items[0];
  }

  /** Fetches what of these places is not here; what was wanted before is given up. @param {number} from @param {number} to */
  want(from, to) {
    this.#wanted = [from, Math.min(to, this.total)];
    this.#pump();
  }

  /** The items that are here. @returns {API.Item[]} */
  get known() {
    return this.#chosen ?? [...this.#pages.values()].flat();
  }

  /** All that pass the filter. Throws Refused or Unreachable. @returns {Promise<API.Item[]>} */
  async all() {
    return this.#chosen ?? (await this.#everyItem(this.#filter));
  }

  /** All of the version, whatever the filter. Throws Refused or Unreachable. */
  whole = () => this.#everyItem({ search: "", problem: "" });

  /** Whether there are too many to look through them here. */
  get isVast() {
    return this.total > MOST;
  }

  #pump() {
    if (this.#chosen) return;
    const [from, to] = this.#wanted;
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page += 1) {
      if (this.#asked.size >= AT_A_TIME) return;
      if (!this.#pages.has(page) && !this.#asked.has(page)) this.#ask(page);
    }
  }

  /** @param {number} page */
  async #ask(page) {
    const mine = this.#generation;
    this.#asked.add(page);
    try {
      const found = await this.#fetch(page * PAGE, PAGE, this.#filter);
      if (mine !== this.#generation) return;
      this.#pages.set(page, found.items);
      this.#asked.delete(page);
      this.tell.changed();
      this.#pump();
    } catch (error) {
      if (mine !== this.#generation) return;
      this.#asked.delete(page);
      this.tell.failed(error);
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
    } while (cursor && found.length < MOST);
    return found;
  }
}
