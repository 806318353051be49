// Receives the figures as server-sent events. Checks that events arrive, because a connection can
// break without an error.

/** The server sends something at least every 2 s. */
const SILENCE_MAX_MS = 5000;

/** A stream without an event for this time is replaced. */
const REPLACE_AFTER_MS = 10000;

const CHECK_MS = 1000;

/**
 * Calls `onFigures` with each snapshot, `onTime` with the server's time while nothing changes, and
 * `onState` with `live`, `stale` (the store cannot be read) or `lost` (no connection). Calls
 * `onPipeline` with the state of the pipeline, or with null while it cannot be read.
 */
export function watch({ onFigures, onTime, onState, onPipeline }) {
  let source;
  let heard = performance.now();
  let opened = heard;

  const hear = (state) => {
    heard = performance.now();
    onState(state);
  };

  function open() {
    source?.close();
    opened = performance.now();
    source = new EventSource('/api/v1/events');
    source.addEventListener('figures', (event) => {
      hear('live');
      onFigures(JSON.parse(event.data));
    });
    source.addEventListener('unchanged', (event) => {
      hear('live');
      onTime(JSON.parse(event.data).time_ms);
    });
    source.addEventListener('unavailable', () => hear('stale'));
    source.addEventListener('pipeline', (event) => onPipeline(JSON.parse(event.data)));
    source.addEventListener('pipeline-unavailable', () => onPipeline(null));
  }

  function check() {
    const now = performance.now();
    if (now - heard < SILENCE_MAX_MS) return;
    onState('lost');
    const ended = source.readyState === EventSource.CLOSED;
    if (now - opened > (ended ? CHECK_MS : REPLACE_AFTER_MS)) open();
  }

  open();
  setInterval(check, CHECK_MS);
  // The timers of a hidden page are slow, so check at once when it becomes visible.
  document.addEventListener('visibilitychange', () => document.hidden || check());
}

/** How fast a count grows per second, from its values of the last minute. */
export class Rate {
  #samples = [];

  /** A value at a time of the server. A value that falls means that counting has begun again. */
  add(time, count) {
    const last = this.#samples.at(-1);
    if (last && (count < last.count || time < last.time)) this.#samples = [];
    else if (last?.time === time) this.#samples.pop();
    this.#samples.push({ time, count });
    const begin = time - 62000;
    while (this.#samples.length > 2 && this.#samples[1].time < begin) this.#samples.shift();
  }

  /** The mean of the last `seconds`; null before two values are known. */
  now(seconds = 3) {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!last || last.time === first.time) return null;
    const from = Math.max(first.time, last.time - seconds * 1000);
    return ((last.count - this.#at(from)) * 1000) / (last.time - from);
  }

  /** The rate of each of the last 60 seconds, oldest first; null where nothing is known. */
  minute() {
    const last = this.#samples.at(-1);
    if (!last) return [];
    const first = this.#samples[0].time;
    return Array.from({ length: 60 }, (_, index) => {
      const end = last.time - (59 - index) * 1000;
      return end - 1000 < first ? null : this.#at(end) - this.#at(end - 1000);
    });
  }

  /** The value at a time, on the line between the values before and after it. */
  #at(time) {
    const after = this.#samples.findIndex((sample) => sample.time >= time);
    if (after <= 0) return this.#samples[after === 0 ? 0 : this.#samples.length - 1].count;
    const [a, b] = [this.#samples[after - 1], this.#samples[after]];
    return a.count + ((b.count - a.count) * (time - a.time)) / (b.time - a.time);
  }
}
