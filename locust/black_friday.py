"""The sales of `locustfile.py`, with a number of users that changes like that of a busy day.

    locust -f black_friday.py --headless --shape black-friday --peak 100 --minutes 10 --csv run

With --csv, the pipeline's own figures are written beside Locust's: see `--operator`.
"""

import argparse
import csv
import os
import time
import urllib.request

import gevent
from locust import LoadTestShape, events

from locustfile import Shopper

__all__ = ["Shopper"]

SHAPES = {
    "ramp": [(0.0, 0.02), (1.0, 1.0)],
    "spike": [(0.0, 0.1), (0.4, 0.1), (0.42, 1.0), (0.6, 1.0), (0.62, 0.1), (1.0, 0.1)],
    "plateau": [(0.0, 0.02), (0.1, 1.0), (0.9, 1.0), (1.0, 0.02)],
    "soak": [(0.0, 0.5), (1.0, 0.5)],
    # Night, opening, lunch, the peak in the evening, closing.
    "black-friday": [
        (0.0, 0.05), (0.1, 0.05), (0.12, 0.8), (0.3, 0.5), (0.5, 0.4), (0.7, 0.6),
        (0.75, 1.0), (0.85, 1.0), (1.0, 0.1),
    ],
}  # fmt: skip
"""Points of each shape: the part of the run that has passed, and the part of the peak's users.
Between two points the number of users changes evenly."""

SAMPLE_S = 1.0
"""How often the pipeline's figures are read."""

METRICS = {
    "lag": "spin_kafka_lag",
    "records": "spin_kafka_records_total",
    "dead_letters": "spin_kafka_dead_letters_total",
}
"""Columns of the samples, and the metrics whose sum over all labels they have."""


def minutes(text: str) -> float:
    """Reads the length of a run."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 24 * 60:
        raise argparse.ArgumentTypeError(f"`{text}` must be a number of minutes, at most a day")
    return value


def peak(text: str) -> int:
    """Reads the greatest number of users."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"`{text}` must be a whole number from 1 to 100,000")
    return int(text)


@events.init_command_line_parser.add_listener
def add_options(parser):
    """Options of this file, in addition to those of `locustfile.py`."""
    parser.add_argument(
        "--shape",
        choices=sorted(SHAPES),
        default="black-friday",
        env_var="SALES_SHAPE",
        help="how the number of users changes (default: black-friday)",
    )
    parser.add_argument(
        "--peak",
        type=peak,
        default="100",
        env_var="SALES_PEAK",
        metavar="USERS",
        help="the greatest number of users (default: 100)",
    )
    parser.add_argument(
        "--minutes",
        type=minutes,
        default="10",
        env_var="SALES_MINUTES",
        metavar="M",
        help="length of the run (default: 10)",
    )
    parser.add_argument(
        "--operator",
        default="",
        env_var="DOORBUSTER_OPERATOR_URL",
        metavar="URL",
        help="the pipeline's operator port, http://HOST:PORT; with --csv PREFIX, its metrics are "
        "written to PREFIX_pipeline.csv every second",
    )
    parser.add_argument(
        "--pid",
        type=int,
        default=0,
        metavar="PID",
        help="process of the pipeline on this machine: its CPU time and memory are added",
    )


class Shape(LoadTestShape):
    """The number of users at each moment."""

    def tick(self):
        """Users, and how many of them start or stop in a second; None at the end."""
        options = self.runner.environment.parsed_options
        part = self.get_run_time() / (options.minutes * 60)
        if part >= 1:
            return None
        users = max(1, round(options.peak * share(SHAPES[options.shape], part)))
        return users, options.peak


def share(points: list[tuple[float, float]], part: float) -> float:
    """The part of the peak's users at this part of the run."""
    for (start, low), (end, high) in zip(points, points[1:]):
        if part <= end:
            return low + (high - low) * (part - start) / (end - start)
    return points[-1][1]


@events.test_start.add_listener
def start_samples(environment, **_):
    """Reads the pipeline's figures for as long as the run lasts."""
    options = environment.parsed_options
    if options.operator and options.csv_prefix:
        environment.samples = gevent.spawn(sample, options)


@events.test_stop.add_listener
def stop_samples(environment, **_):
    """Stops reading."""
    samples = getattr(environment, "samples", None)
    if samples:
        samples.kill()


def sample(options):
    """Writes a line of figures every second. If there is no answer, no line is written."""
    with open(f"{options.csv_prefix}_pipeline.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["time_s", *METRICS, "cpu_s", "memory_bytes"])
        while True:
            try:
                figures = metrics(f"{options.operator.rstrip('/')}/metrics")
            except OSError:
                pass
            else:
                table.writerow([f"{time.time():.3f}", *figures, *process(options.pid)])
                file.flush()
            gevent.sleep(SAMPLE_S)


def metrics(url: str) -> list[float]:
    """The sums of METRICS over all labels."""
    sums = dict.fromkeys(METRICS.values(), 0.0)
    with urllib.request.urlopen(url, timeout=5) as response:
        for line in response.read().decode().splitlines():
            name = line.split("{")[0].split(" ")[0]
            if name in sums:
                sums[name] += float(line.rsplit(" ", 1)[1])
    return list(sums.values())


def process(pid: int) -> list:
    """CPU seconds and resident bytes of a process, from `/proc`; empty without one."""
    if not pid:
        return ["", ""]
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return ["", ""]
    # The fields are those of proc(5), without the first two.
    ticks = int(fields[11]) + int(fields[12])
    return [ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")]
