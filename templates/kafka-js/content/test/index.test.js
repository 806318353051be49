import assert from "node:assert/strict";
import { test } from "node:test";

import { syncHandler } from "../src/index.js";

test("an order of nothing is rejected", () => {
  const values = ['{"product":"tv","quantity":1}', '{"product":"tv","quantity":0}'];
  const records = values.map((text, index) => {
    return { offset: BigInt(index), value: new TextEncoder().encode(text) };
  });
  const rejections = syncHandler.handle({ records });
  assert.deepEqual(rejections, [{ offset: 1n, reason: "the value is not an order" }]);
});
