// Values over time, bounded: what a chart draws.

/** Longer without a value than this many steps is a gap, and is drawn as one. */
const GAP_STEPS = 3.5;

export class Series {
  /** Seconds since 1970, rising. @type {number[]} */
  times = [];
  /** @type {Map<string, (number|null)[]>} */
  columns = new Map();

  /** @param {number} step seconds between two values @param {number} span length in seconds */
  constructor(step, span) {
    this.step = step;
    this.span = span;
  }

  /** @param {number} time @param {Record<string, number|null>} values */
  add(time, values) {
    const last = this.times.at(-1);
    if (last !== undefined && time <= last) return;
    if (last !== undefined && time - last > this.step * GAP_STEPS) this.#row(last + this.step, {});
    this.#row(time, values);
    this.#removeBefore(time - this.span);
  }

  /** @returns {(number|null)[]} */
  column(name) {
    return this.columns.get(name) ?? this.times.map(() => null);
  }

  toJSON() {
    return { times: this.times, columns: [...this.columns] };
  }

  restore({ times, columns }, now) {
    if (this.times.length) return;
    [this.times, this.columns] = [times, new Map(columns)];
    this.#removeBefore(now - this.span);
  }

  #row(time, values) {
    for (const name of Object.keys(values)) {
      if (!this.columns.has(name))
        this.columns.set(
          name,
          this.times.map(() => null),
        );
    }
    this.times.push(time);
    for (const [name, column] of this.columns) column.push(values[name] ?? null);
  }

  #removeBefore(before) {
    let old = 0;
    while (old < this.times.length && this.times[old] < before) old += 1;
    if (!old) return;
    this.times.splice(0, old);
    for (const column of this.columns.values()) column.splice(0, old);
  }
}
