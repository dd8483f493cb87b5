// Values over time, bounded: what a chart draws.

/** Longer without a value than this many steps is a gap, and is drawn as one. */
const GAP_STEPS = 3.5;

/** @typedef {{time: number, step: number, values: Record<string, number|null>}} Row */

export class Series {
  /** In the order of time. @type {Row[]} */
  #rows = [];
  /** Seconds since 1970, rising; with a time without values in each gap. @type {number[]} */
  times = [];
  /** @type {Map<string, (number|null)[]>} */
  #columns = new Map();

  /** @param {number} step seconds between two values @param {number} span length in seconds */
  constructor(step, span) {
    this.step = step;
    this.span = span;
  }

  /** Adds the newest values. @param {number} time @param {Record<string, number|null>} values */
  add(time, values) {
    const last = this.#rows.at(-1);
    if (last && time <= last.time) return;
    const row = { time, step: this.step, values };
    this.#append(row, last);
    this.#rows.push(row);
    if (this.#rows[0].time < time - this.span) this.#arrange();
  }

  /**
   * Adds recorded values between and before those that are here.
   * @param {{time: number, values: Record<string, number|null>}[]} recorded
   * @param {number} step seconds between two of them
   */
  merge(recorded, step) {
    const byTime = new Map(recorded.map((one) => [one.time, { ...one, step }]));
    for (const row of this.#rows) byTime.set(row.time, row);
    this.#rows = [...byTime.values()].sort((a, b) => a.time - b.time);
    this.#arrange();
  }

  /** @returns {(number|null)[]} */
  column(name) {
    return this.#columns.get(name) ?? this.times.map(() => null);
  }

  #arrange() {
    const begin = (this.#rows.at(-1)?.time ?? 0) - this.span;
    this.#rows = this.#rows.filter(({ time }) => time >= begin);
    this.times = [];
    this.#columns.clear();
    this.#rows.forEach((row, index) => this.#append(row, this.#rows[index - 1]));
  }

  /** @param {Row} row @param {Row} [before] */
  #append(row, before) {
    const step = Math.max(row.step, before?.step ?? 0);
    if (before && row.time - before.time > step * GAP_STEPS) this.#appendValues(before.time + step, {});
    this.#appendValues(row.time, row.values);
  }

  #appendValues(time, values) {
    for (const name of Object.keys(values))
      if (!this.#columns.has(name)) this.#columns.set(name, this.times.map(() => null));
    this.times.push(time);
    for (const [name, column] of this.#columns) column.push(values[name] ?? null);
  }
}
