// Ranks the products of each minute by the quantity that was ordered, as `examples/top-products`.

// Refuses bytes that are not UTF-8, and keeps a byte order mark, which is not JSON.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parse(value) {
  try {
    return JSON.parse(utf8.decode(value)) ?? {};
  } catch {
    throw "the value is not JSON";
  }
}

export const fold = {
  fold(source, record) {
    const { product, quantity } = parse(record.value);
    const isQuantity = Number.isInteger(quantity) && quantity > 0 && quantity < 2 ** 32;
    // Half of a surrogate pair, such as "\ud800", has no UTF-8.
    if (typeof product !== "string" || !product.isWellFormed() || !isQuantity) {
      throw "the value is not an order";
    }
    return [{ tag: "top", val: { aggregate: "products", member: product, by: BigInt(quantity) } }];
  },
};
