"""Sends events with client libraries that others wrote, and reads the records with them.

`send URL SECRET` sends CloudEvents and webhooks, and prints the statuses of the answers. `read`
prints the CloudEvents in a file of records on standard input.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook


def post(url, headers, body):
    try:
        with urlopen(Request(url, data=body, headers=headers, method="POST")) as answer:
            return answer.status
    except HTTPError as refusal:
        return refusal.code


def event(number):
    attributes = {
        "id": f"event-{number}",
        "source": "/shop",
        "type": "shop.sold",
        "subject": f"tele visión {number}%",
        "datacontenttype": "application/json",
        "channel": "web",
    }
    return CloudEvent(attributes, {"number": number, "price": 1.5})


def send(url, secret):
    binary = http.to_binary_event(event(1))
    structured = http.to_structured_event(event(2))
    batch = [json.loads(http.to_structured_event(event(number)).body) for number in (3, 4)]
    foreign = http.to_structured_event(event(5)).body.replace(b'"1.0"', b'"9.0"')
    batch_type = {"content-type": "application/cloudevents-batch+json"}
    body = json.dumps({"order": 1}).encode()

    def webhook(name, time, signed):
        signature = Webhook(secret).sign(name, time, signed.decode())
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(time.timestamp())),
            "webhook-signature": signature,
        }
        return post(f"{url}/webhooks", headers, body)

    now = datetime.now(timezone.utc)
    statuses = {
        "binary": post(f"{url}/events", binary.headers, binary.body),
        "structured": post(f"{url}/events", structured.headers, structured.body),
        "batch": post(f"{url}/events", batch_type, json.dumps(batch).encode()),
        "unknown version": post(f"{url}/events", structured.headers, foreign),
        "webhook": webhook("message-1", now, body),
        "repeated webhook": webhook("message-1", now, body),
        "forged webhook": webhook("message-2", now, body + b" "),
        "old webhook": webhook("message-3", now - timedelta(hours=1), body),
    }
    print(json.dumps(statuses))


def read():
    for line in sys.stdin:
        record = json.loads(line)
        headers = {header["name"]: header["value"].encode() for header in record["headers"]}
        message = kafka.KafkaMessage(headers, record["key"].encode(), record["value"].encode())
        received = kafka.from_kafka_event(message)
        number = int(received.get_id().removeprefix("event-"))
        expected = event(number)
        for name in ("id", "source", "type", "subject", "channel", "datacontenttype"):
            assert received.get_attributes()[name] == expected.get_attributes()[name], name
        assert received.get_data() == expected.get_data(), received.get_data()
        assert record["key"] == expected.get_subject(), record["key"]
        print(number)


if sys.argv[1] == "send":
    send(*sys.argv[2:])
else:
    read()
