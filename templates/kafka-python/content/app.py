"""Handles the records of the topic `{{kafka-topic}}`."""

from orders import Rejected, parse
from wit_world import exports
from wit_world.imports.types import Batch, Record, Rejection


def handle(record: Record) -> None:
    """Called for each record.

    Any other exception than `Rejected` is a failed attempt; after `poison_attempts` of them the
    record is written to the dead-letter topic, too.
    """
    order = parse(record.value)
    print(f"offset {record.offset}: {order.quantity} of {order.product} ordered")


class SyncHandler(exports.SyncHandler):
    """Exports the function to the host."""

    def handle(self, batch: Batch) -> list[Rejection]:
        rejections = []
        for record in batch.records:
            try:
                handle(record)
            except Rejected as error:
                rejections.append(Rejection(record.offset, str(error)))
        return rejections
