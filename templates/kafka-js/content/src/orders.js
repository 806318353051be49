/** A record with this error is written to the dead-letter topic, with the message as the reason. */
export class Rejected extends Error {}

// Refuses bytes that are not UTF-8, and keeps a byte order mark, which is not JSON.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the order in the value of a record, or throws `Rejected`. */
export function parse(value) {
  let order;
  try {
    order = JSON.parse(utf8.decode(value));
  } catch {
    throw new Rejected("the value is not JSON");
  }
  const { product, quantity } = order ?? {};
  // Half of a surrogate pair, such as "\ud800", has no UTF-8.
  if (typeof product === "string" && !product.isWellFormed()) {
    throw new Rejected("the value is not JSON");
  }
  const isQuantity = Number.isInteger(quantity) && quantity > 0 && quantity < 2 ** 32;
  if (typeof product !== "string" || !isQuantity) {
    throw new Rejected("the value is not an order");
  }
  return { product, quantity };
}
