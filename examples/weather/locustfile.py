"""Posts about the weather, each of them sent to all front doors of `--paths`.

    locust -f examples/weather/locustfile.py --headless --users 50 --run-time 30s --stop-timeout 20 \\
        --paths /input,/rabbitmq/input
"""

import random
import uuid

import gevent
from locust import FastHttpUser, constant, events, task

COUNTRIES = ["AR", "BO", "BR", "CL", "CO", "CR", "CU", "DO", "EC", "ES"] + [
    "GT", "HN", "MX", "NI", "PA", "PE", "PY", "SV", "UY", "VE",
]  # fmt: skip

DESCRIPTIONS = {
    "clear": "Not a cloud in the sky.",
    "cloudy": "Grey from one end to the other.",
    "fog": "The other side of the street is gone.",
    "rain": "It has been raining since the morning.",
    "snow": "Everything is white.",
    "storm": "Thunder, and no power.",
    "wind": "Hold on to your hat.",
}
"""The values of `weather`, each with a description."""

RETRY_PAUSE_S = (0.1, 0.5)
"""The pause before the retry, chosen at random between these. So users retry at different times."""


@events.init_command_line_parser.add_listener
def add_arguments(parser):
    """Adds `--paths` to the arguments of Locust."""
    parser.add_argument("--paths", default="/input", help="front doors, separated by commas")


class Author(FastHttpUser):
    """Sends one post after the other, each as soon as the previous one is answered."""

    host = "http://127.0.0.1:3000"
    wait_time = constant(0)
    connection_timeout = 5.0
    # Longer than the application may wait for the broker, so that its own error is reported.
    network_timeout = 15.0
    # The retry is a separate request with the same key, and has its own line in the statistics.
    max_retries = 0
    max_redirects = 0

    @task
    def post(self):
        """One post, over each path, with one retry under the same key if a failure may be temporary."""
        weather = random.choice(list(DESCRIPTIONS))
        post = {
            "description": DESCRIPTIONS[weather],
            "country": random.choice(COUNTRIES),
            "weather": weather,
        }
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for path in self.environment.parsed_options.paths.split(","):
            answer = self.client.post(path, json=post, headers=headers)
            if answer.status_code == 0 or answer.status_code >= 500:
                gevent.sleep(random.uniform(*RETRY_PAUSE_S))
                self.client.post(path, json=post, headers=headers, name=f"{path} (retry)")
