// How many requests and records pass each hop per second, from the counts in the states.

import { Rate } from './live.js';
import { rate, whole } from './texts.js';

class Flows {
  #rates = new Map();
  #seconds = 5;
  #counted;

  /** Takes the counts of a state. */
  add({ time_ms: time, rate_window_ms: window, requests, producer, consumer }) {
    this.#seconds = window / 1000;
    for (const hop of requests) {
      for (const name of ['accepted', 'refused', 'measured', 'seconds']) {
        this.#add(`${hop.component}.${name}`, time, hop[name]);
      }
    }
    if (producer) {
      this.#add('delivered', time, producer.delivered);
      this.#add('failures', time, producer.failed + producer.queue_full);
    }
    if (consumer) {
      this.#add('records', time, consumer.records);
      this.#add('retries', time, consumer.retries);
    }
  }

  /** Sets the function that returns how many sales were counted per second in the last `seconds`. */
  setCounted(counted) {
    this.#counted = counted;
  }

  failures = () => this.#now('failures');
  retries = () => this.#now('retries');
  refused = () => Math.max(0, ...[...this.#rates.keys()].filter((key) => key.endsWith('.refused')).map((key) => this.#now(key)));

  /** The hops of a state with what is shown of each, in the order of a sale's path. */
  hops({ requests, producer, consumer }) {
    const hops = requests.map((hop) => this.#requestHop(hop));
    if (producer || consumer) hops.push(this.#kafka(producer, consumer));
    if (consumer) hops.push(this.#aggregator(consumer));
    hops.push({ name: 'Valkey', accepted: this.#counted(this.#seconds), unit: 'salesCountedPerSecond', details: [], isBad: false });
    return hops;
  }

  #requestHop({ component, waiting, instances }) {
    const [measured, seconds] = [this.#now(`${component}.measured`), this.#now(`${component}.seconds`)];
    const refused = this.#now(`${component}.refused`);
    return {
      name: component,
      accepted: this.#now(`${component}.accepted`),
      unit: 'requestsPerSecond',
      isBad: refused > 0,
      details: [
        { label: 'refusedPerSecond', value: rate(refused) },
        { label: 'meanTime', value: rate(measured > 0 ? (seconds / measured) * 1000 : null) },
        { label: 'waiting', value: whole(waiting) },
        { label: 'instances', value: whole(instances) },
      ],
    };
  }

  #kafka(producer, consumer) {
    const failures = this.#now('failures');
    const details = [];
    if (producer) details.push({ label: 'failedPerSecond', value: rate(failures) });
    if (consumer) details.push({ label: 'partitions', value: whole(consumer.partitions) });
    const accepted = producer ? this.#now('delivered') : null;
    return { name: 'Kafka', accepted, unit: 'salesWrittenPerSecond', isBad: failures > 0, details };
  }

  #aggregator({ instances, stalled_partitions: stalled }) {
    return {
      name: 'aggregator',
      accepted: this.#now('records'),
      unit: 'salesReadPerSecond',
      isBad: stalled > 0 || this.#now('retries') > 0,
      details: [
        { label: 'retriesPerSecond', value: rate(this.#now('retries')) },
        { label: 'instances', value: whole(instances) },
      ],
    };
  }

  #add(key, time, count) {
    if (!this.#rates.has(key)) this.#rates.set(key, new Rate());
    this.#rates.get(key).add(time, count);
  }

  #now(key) {
    return this.#rates.get(key)?.now(this.#seconds) ?? null;
  }
}

/** The flows of the page. */
export const flows = new Flows();
