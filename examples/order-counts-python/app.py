"""Counts orders in a state. It stores the number of orders, the sum of their quantities, the last
quantity of each product for a day, and the place of the first order of each product that was
counted: PARTITION:OFFSET."""

from componentize_py_types import Err, Ok, Result
from orders import Rejected, parse
from wit_world import exports
from wit_world.exports.changes import (
    Amount,
    Assignment,
    Change,
    Change_Add,
    Change_ExpireAt,
    Change_Increment,
    Change_Set,
    Expiry,
    Integer,
    Place,
    Read,
    Read_Value,
)
from wit_world.imports.types import Record, Source

DAY_MS = 24 * 60 * 60 * 1000


def products(records: list[Record]) -> list[str]:
    """The products of the orders, each of them once."""
    found = {}
    for record in records:
        try:
            found[parse(record.value).product] = None
        except Rejected:
            pass
    return list(found)


class Changes(exports.Changes):
    def reads(self, source: Source, records: list[Record]) -> list[Read]:
        return [Read_Value(Place("first", product)) for product in products(records)]

    def apply(
        self, source: Source, records: list[Record], values: list[bytes | None]
    ) -> list[Result[list[Change], str]]:
        first = {product for product, value in zip(products(records), values) if value is None}
        results = []
        for record in records:
            try:
                order = parse(record.value)
            except Rejected as error:
                results.append(Err(str(error)))
                continue
            last = f"last:{order.product}"
            quantity = str(order.quantity)
            changes = [
                Change_Increment(Integer("orders", None, 1)),
                Change_Add(Amount("quantities", order.product, f"{quantity}.25")),
                Change_Set(Assignment(last, None, quantity.encode())),
                Change_ExpireAt(Expiry(last, (record.timestamp_ms or 0) + DAY_MS)),
            ]
            if order.product in first:
                first.remove(order.product)
                place = f"{source.partition}:{record.offset}".encode()
                changes.append(Change_Set(Assignment("first", order.product, place)))
            results.append(Ok(changes))
        return results
