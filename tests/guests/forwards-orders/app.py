"""Forwards each order; see `src/lib.rs` beside this file."""

from componentize_py_types import Err
from orders import Rejected, parse
from wit_world import exports
from wit_world.imports import sync_producer
from wit_world.imports.types import Batch, Failure_Retry, Header, Outgoing, Record, Rejection


def forwarded(batch: Batch, record: Record) -> Outgoing:
    order = parse(record.value)
    if order.product == "poison":
        raise RuntimeError("poison")
    return Outgoing(
        topic=batch.group,
        partition=None,
        timestamp_ms=None,
        key=order.product.encode(),
        value=str(order.quantity).encode(),
        headers=[Header("offset", str(record.offset).encode())],
    )


class SyncHandler(exports.SyncHandler):
    def handle(self, batch: Batch) -> list[Rejection]:
        records, rejections = [], []
        for record in batch.records:
            try:
                records.append(forwarded(batch, record))
            except Rejected as error:
                rejections.append(Rejection(record.offset, str(error)))
        for result in sync_producer.send(records):
            if isinstance(result, Err):
                raise Err(Failure_Retry(str(result.value)))
        return rejections
