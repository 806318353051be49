// Forwards each order; see `src/lib.rs` beside this file.

import { send } from "spin-kafka:events/sync-producer@0.2.0";

import { parse, Rejected } from "./orders.js";

const utf8 = new TextEncoder();

function forwarded(batch, record) {
  const { product, quantity } = parse(record.value);
  if (product === "poison") throw new Error("poison");
  return {
    topic: batch.group,
    partition: undefined,
    timestampMs: undefined,
    key: utf8.encode(product),
    value: utf8.encode(String(quantity)),
    headers: [{ name: "offset", value: utf8.encode(String(record.offset)) }],
  };
}

export const syncHandler = {
  handle(batch) {
    const records = [];
    const rejections = [];
    for (const record of batch.records) {
      try {
        records.push(forwarded(batch, record));
      } catch (error) {
        if (!(error instanceof Rejected)) throw error;
        rejections.push({ offset: record.offset, reason: error.message });
      }
    }
    const failed = send(records).find((result) => result.tag === "err");
    if (failed) throw { tag: "retry", val: JSON.stringify(failed.val) };
    return rejections;
  },
};
