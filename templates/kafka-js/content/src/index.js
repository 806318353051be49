// Handles the records of the topic `{{kafka-topic}}`.

import { parse, Rejected } from "./orders.js";

/**
 * Called for each record. Any other error than `Rejected` is a failed attempt; after
 * `poison_attempts` of them the record is written to the dead-letter topic, too.
 */
function handle(record) {
  const { product, quantity } = parse(record.value);
  console.log(`offset ${record.offset}: ${quantity} of ${product} ordered`);
}

/** Exported to the host. */
export const syncHandler = {
  handle(batch) {
    const rejections = [];
    for (const record of batch.records) {
      try {
        handle(record);
      } catch (error) {
        if (!(error instanceof Rejected)) throw error;
        rejections.push({ offset: record.offset, reason: error.message });
      }
    }
    return rejections;
  },
};
