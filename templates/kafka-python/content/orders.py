"""The orders in the records of the topic `{{kafka-topic}}`."""

import json
from dataclasses import dataclass


class Rejected(Exception):
    """A record with this error is written to the dead-letter topic, with the text as the reason."""


@dataclass
class Order:
    """The JSON in the value of a record."""

    product: str
    quantity: int


def parse(value: bytes | None) -> Order:
    """Returns the order in the value of a record, or raises `Rejected`."""
    try:
        # Python would also accept NaN and Infinity, which are not JSON.
        fields = json.loads((value or b"").decode(), parse_constant=_refuse)
        fields = fields if isinstance(fields, dict) else {}
        product, quantity = fields.get("product"), fields.get("quantity")
        if isinstance(product, str):
            # Half of a surrogate pair, such as "\ud800", has no UTF-8.
            product.encode()
    except ValueError as error:
        raise Rejected("the value is not JSON") from error
    # `True` is an `int`, too.
    is_quantity = type(quantity) is int and 0 < quantity < 2**32
    if not isinstance(product, str) or not is_quantity:
        raise Rejected("the value is not an order")
    return Order(product, quantity)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
