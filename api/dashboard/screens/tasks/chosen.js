// The selected tasks, on all pages of the list.

export class Chosen {
  /** @type {Map<string, API.Row>} */
  #tasks = new Map();

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  get tasks() {
    return [...this.#tasks.values()];
  }

  get size() {
    return this.#tasks.size;
  }

  /** @param {API.Row} task */
  has({ task_id: id }) {
    return this.#tasks.has(id);
  }

  /** Selects or deselects these. @param {readonly API.Row[]} tasks @param {boolean} isChosen */
  set(tasks, isChosen) {
    for (const task of tasks) {
      if (isChosen) this.#tasks.set(task.task_id, task);
      else this.#tasks.delete(task.task_id);
    }
    this.changed();
  }

  /** Selects exactly these. @param {readonly API.Row[]} tasks */
  replace(tasks) {
    this.#tasks.clear();
    this.set(tasks, true);
  }

  /** Stores the current state of a selected task. @param {API.Row} task */
  refresh(task) {
    if (this.has(task)) this.#tasks.set(task.task_id, task);
  }
}
