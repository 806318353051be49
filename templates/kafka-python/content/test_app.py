import unittest

from app import SyncHandler
from wit_world.imports.types import Batch, Record, Rejection


def record(offset: int, value: bytes) -> Record:
    return Record(offset, timestamp_ms=None, key=None, value=value, headers=[])


class App(unittest.TestCase):
    def test_an_order_of_nothing_is_rejected(self):
        values = [b'{"product":"tv","quantity":1}', b'{"product":"tv","quantity":0}']
        batch = Batch(
            topic="{{kafka-topic}}",
            log_id=None,
            partition=0,
            group="test",
            expected_position=None,
            start=0,
            end=2,
            attempt=1,
            time_limit_ms=60_000,
            records=[record(offset, value) for offset, value in enumerate(values)],
        )
        rejections = SyncHandler().handle(batch)
        self.assertEqual(rejections, [Rejection(1, "the value is not an order")])


if __name__ == "__main__":
    unittest.main()
