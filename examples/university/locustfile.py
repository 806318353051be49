"""Users of the students: most of them read pages, some read, create, change and delete a student, and two
request reports as background tasks.

    locust -f examples/university/locustfile.py --headless --users 200 --spawn-rate 200 --run-time 2m --stop-timeout 20

`Registrar --tags list` is the load of the original: only `GET /students?limit=100&offset=0`.
"""

import itertools
import os
import random
import sys
import time
import uuid
from pathlib import Path

from locust import FastHttpUser, constant, tag, task

sys.path.append(str(Path(__file__).parent))
import tokens  # noqa: E402

STUDENTS = 2_000_000
"""The number of students in the database at the start."""

NUMBERS = itertools.count(random.randrange(500_000_000, 900_000_000))
"""Numbers of files and documents of the students who are created."""

SUBJECTS = itertools.count()


def student(number):
    """A student with this number."""
    return {
        "apellido": random.choice(["Acosta", "Díaz", "Muñoz", "Núñez", "Pérez"]),
        "nombre": random.choice(["Ana", "Bruno", "Inés", "Joaquín", "Lucía"]),
        "nro_documento": number,
        "tipo_documento": "DNI",
        "fecha_nacimiento": f"{random.randint(1980, 2005)}-07-09",
        "sexo": random.choice("FMX"),
        "nro_legajo": number,
        "fecha_ingreso": "2025-03-01",
    }


POLLS_MAX = 120
"""How often the state of a task is read until the user gives up."""


class User(FastHttpUser):
    """A user with a token."""

    abstract = True
    host = "http://127.0.0.1:3000"
    connection_timeout = 5.0
    network_timeout = 30.0
    max_retries = 0
    max_redirects = 0

    def on_start(self):
        """Each user has a token of its own, and so its own rate."""
        self.token = os.environ.get("TOKEN") or tokens.token(f"locust-{next(SUBJECTS)}", "registrar")

    def send(self, method, path, name, **options):
        """A request with the token."""
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return self.client.request(method, path, name=name, headers=headers, **options)


class Registrar(User):
    """Sends one request after the other, each as soon as the previous one is answered."""

    wait_time = constant(0)

    @tag("list")
    @task(20)
    def first_page(self):
        """The request of the original."""
        self.send("GET", "/students?limit=100&offset=0", "GET /students?limit=100&offset=0")

    @task(4)
    def page_at_any_offset(self):
        """A page anywhere in the list."""
        offset = random.randrange(STUDENTS)
        self.send("GET", f"/students?limit=100&offset={offset}", "GET /students?limit=100&offset=N")

    @task(4)
    def page_after_any_student(self):
        """The page behind a student."""
        after = random.randrange(STUDENTS)
        self.send("GET", f"/students?limit=100&after={after}", "GET /students?limit=100&after=ID")

    @task(10)
    def one_student(self):
        """A student."""
        self.send("GET", f"/students/{random.randint(1, STUDENTS)}", "GET /students/ID")

    @task(1)
    def life_of_a_student(self):
        """Creates, changes and deletes a student."""
        number = next(NUMBERS)
        created = self.send("POST", "/students", "POST /students", json=student(number))
        if created.status_code != 201:
            return
        place = created.headers["location"]
        changed = student(number) | {"apellido": "Gómez"}
        self.send("PUT", place, "PUT /students/ID", json=changed)
        self.send("DELETE", place, "DELETE /students/ID")


class Analyst(User):
    """Requests a report as a background task, reads its state until it has ended, and then the report."""

    fixed_count = 2
    wait_time = constant(5)

    @task
    def report(self):
        """A report, and the time until it is there."""
        name = "GET /reports/enrolment (task)"
        headers = {"Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())}
        begin = time.time()
        accepted = self.send("GET", "/reports/enrolment", name, headers=headers)
        if accepted.status_code != 202:
            return
        place, state = accepted.headers["location"], "pending"
        for _ in range(POLLS_MAX):
            status = self.send("GET", place, "GET /tasks/ID")
            if status.status_code == 200:
                state = status.json()["state"]
            if state in ("succeeded", "failed", "cancelled"):
                break
            time.sleep(int(status.headers.get("retry-after") or 1))
        error = None if state == "succeeded" else RuntimeError(f"the task is {state}")
        self.environment.events.request.fire(
            request_type="TASK",
            name="until the report is there",
            response_time=(time.time() - begin) * 1000,
            response_length=0,
            exception=error,
        )
        if error is None:
            self.send("GET", f"{place}/result", "GET /tasks/ID/result")
