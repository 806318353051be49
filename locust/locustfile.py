"""Sales like those of a shop on its busiest day, sent to `POST /purchase`.

    locust --headless --host http://127.0.0.1:3000 --users 50 --run-time 30s
"""

import argparse
import random
import uuid

import gevent
from locust import FastHttpUser, constant, events, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

CATEGORIES = {"electronica": 1, "ropa": 2, "hogar": 3, "belleza": 4}
"""Category names and their numbers on the wire."""

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
"""Longer than the pipeline may wait for the broker, so that its own error is reported."""

RETRY_PAUSE_S = (0.1, 0.5)
"""The pause before the retry, chosen at random between these. So users retry at different times."""

PRICE_CENTS_MAX = 200_000
QUANTITY_MAX = 10


def percentages(text: str) -> list[int]:
    """Reads `electronica=40,ropa=60` into weights in the order of CATEGORIES."""
    weights = dict.fromkeys(CATEGORIES, 0)
    seen = set()
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name not in CATEGORIES or not equals:
            known = ", ".join(CATEGORIES)
            raise argparse.ArgumentTypeError(f"`{part}` must be NAME=PERCENT, with NAME one of {known}")
        if name in seen:
            raise argparse.ArgumentTypeError(f"`{name}` is given twice")
        if not (number.isascii() and number.isdigit() and int(number) <= 100):
            raise argparse.ArgumentTypeError(f"`{part}` must give a whole number from 0 to 100")
        seen.add(name)
        weights[name] = int(number)
    total = sum(weights.values())
    if total != 100:
        raise argparse.ArgumentTypeError(f"the percentages must add up to 100, not {total}")
    return list(weights.values())


def product_count(text: str) -> int:
    """Reads how many products a category has."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"`{text}` must be a whole number from 1 to 1,000,000")
    return int(text)


@events.init_command_line_parser.add_listener
def add_options(parser):
    """Options of this file, in addition to those of Locust. A wrong value ends the run at the start."""
    parser.add_argument(
        "--percentages",
        type=percentages,
        default="electronica=25,ropa=25,hogar=25,belleza=25",
        env_var="SALES_PERCENTAGES",
        include_in_web_ui=False,
        metavar="NAME=PERCENT,...",
        help="share of each category; those not named get none (default: 25 each)",
    )
    parser.add_argument(
        "--products",
        type=product_count,
        default="50",
        env_var="SALES_PRODUCTS",
        include_in_web_ui=False,
        metavar="N",
        help="different products in each category (default: 50)",
    )


class Shopper(FastHttpUser):
    """Sends one sale after the other, each as soon as the previous one is answered."""

    host = "http://127.0.0.1:3000"
    wait_time = constant(0)
    connection_timeout = CONNECT_TIMEOUT_S
    network_timeout = ANSWER_TIMEOUT_S
    # The retry is a separate request with the same key, and has its own line in the statistics.
    max_retries = 0
    max_redirects = 0

    def __init__(self, environment):
        # Paths begin with a slash.
        self.host = self.host.rstrip("/")
        super().__init__(environment)

    @task
    def purchase(self):
        """One sale, with one retry under the same key if the failure may be temporary."""
        sale, key = self.random_sale(), str(uuid.uuid4())
        if not self.post(sale, key, "/purchase"):
            gevent.sleep(random.uniform(*RETRY_PAUSE_S))
            self.post(sale, key, "/purchase (retry)")

    def post(self, sale: dict, key: str, name: str) -> bool:
        """Sends the sale; false if a retry may help: no answer, or a 5xx."""
        headers = {"Idempotency-Key": key}
        with self.client.post(
            "/purchase", json=sale, headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code == 200 and is_processed(response):
                response.success()
                return True
            response.failure(reason(response))
            return 0 < response.status_code < 500

    def random_sale(self) -> dict:
        """A sale in the format of the wire."""
        options = self.environment.parsed_options
        (category,) = random.choices(list(CATEGORIES.values()), options.percentages)
        return {
            "categoria": category,
            "producto_id": f"p{category}-{random.randrange(options.products)}",
            "precio": random.randint(1, PRICE_CENTS_MAX) / 100,
            "cantidad_vendida": random.randint(1, QUANTITY_MAX),
        }


def is_processed(response) -> bool:
    """Whether the body is that of an accepted sale according to the contract."""
    try:
        return response.json() == {"status": "Procesado"}
    except (TypeError, ValueError, *FAILURE_EXCEPTIONS):
        # No JSON, or the connection broke within the body.
        return False


def reason(response) -> str:
    """A short description of the failure. Locust counts failures by this text."""
    if response.status_code == 0:
        return f"no answer: {response.error}"
    if response.status_code == 200:
        return "200 with a body other than {\"status\":\"Procesado\"}"
    return f"status {response.status_code}"
