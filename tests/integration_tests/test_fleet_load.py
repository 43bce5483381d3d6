"""Traffic through every kind of switch: no request fails, and each answer is right for the version that it names."""

import http.client
import itertools
import json
import queue
import select
import statistics
import threading
import time

import pytest
from conftest import photograph
from fleet import fake_package, real_package, running_fleet

MODEL = "efficientnet_lite0"
SHARE = 0.7
"""Of the saturation."""


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        yield fleet


class Load:
    """Requests that arrive by schedule, whether those before have been answered or not; none is sent twice.

    With `again`, one whose kept connection ended without a byte of an answer is sent once more on a new one, as RFC 9112
    (9.3.1) lets clients do; `repeated` counts them.

    `answers`: (scheduled, seconds from then to the answer, status, version, label).
    """

    def __init__(self, url, body, rate, senders=48, model=MODEL, again=False):
        self.host, self.body, self.rate, self.model = url.removeprefix("http://"), body, rate, model
        self.again, self.repeated = again, 0
        self.answers, self.due, self.stopped = [], queue.SimpleQueue(), threading.Event()
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(senders)]
        self.clock = threading.Thread(target=self.schedule, daemon=True)

    def __enter__(self):
        for thread in (*self.threads, self.clock):
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.clock.join()
        for _ in self.threads:
            self.due.put(None)
        for thread in self.threads:
            thread.join()

    def schedule(self):
        begin = time.monotonic()
        for number in itertools.count():
            at = begin + number / self.rate
            time.sleep(max(0, at - time.monotonic()))
            if self.stopped.is_set():
                return
            self.due.put(at)

    def ask(self, connection):
        connection.request("POST", f"/v2/models/{self.model}/predict", self.body)
        return connection.getresponse()

    def send(self):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.connect()
        while (at := self.due.get()) is not None:
            if connection.sock and select.select([connection.sock], [], [], 0)[0]:
                connection.close()  # The server has ended it; urllib3 and its like look, too, before they ask again.
            try:
                was_kept = connection.sock is not None
                try:
                    answer = self.ask(connection)
                except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                    if not (self.again and was_kept):
                        raise
                    self.repeated += 1
                    connection.close()
                    answer = self.ask(connection)
                text = answer.read()
                version, label = None, text[:200].decode(errors="replace")
                if answer.status == 200:
                    document = json.loads(text)
                    version, label = document["version"], document["classes"][0]["label"]
                self.answers.append((at, time.monotonic() - at, answer.status, version, label))
            except OSError as error:
                self.answers.append((at, time.monotonic() - at, 0, None, repr(error)))
                connection.close()
        connection.close()

    def between(self, begin, end):
        return sorted(took for at, took, *_ in list(self.answers) if begin <= at < end)


def saturation(url, body, seconds=4, senders=4):
    """Requests a second when several clients ask as fast as they are answered."""
    host, count, end = url.removeprefix("http://"), itertools.count(), time.monotonic() + seconds

    def ask():
        connection = http.client.HTTPConnection(host, timeout=60)
        while time.monotonic() < end:
            connection.request("POST", f"/v2/models/{MODEL}/predict", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            next(count)
    threads = [threading.Thread(target=ask) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next(count) / seconds


def percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))] * 1000 if values else 0


def test_no_request_fails_through_update_automatic_and_manual_rollback(fleet, tmp_path, capsys):
    device = fleet.device("cam-1")
    for version, prefix in (("1.0.0", "v1 "), ("1.1.0", "v2 "), ("1.2.0", "v3 ")):
        fleet.push(real_package(tmp_path, version, prefix))
    fleet.deploy(f"{MODEL}@1.0.0")
    cat = photograph("chelsea.png").read_bytes()
    most = saturation(device.agent.url, cat)
    windows = {}

    def window(name, act):
        begin = time.monotonic()
        result = act()
        windows[name] = (begin, time.monotonic() + 1)
        time.sleep(2)
        return result

    with Load(device.agent.url, cat, SHARE * most) as load:
        time.sleep(1)
        begin = time.monotonic()
        time.sleep(12)
        steady = (begin, time.monotonic())
        _, on, _ = window("update", lambda: fleet.deploy(f"{MODEL}@1.1.0", watch=1))
        assert on["cam-1"]["state"] == "committed"
        # It would have to be twice as fast as the version before: it goes back, whatever the machine.
        deployment, on, _ = window("automatic rollback", lambda: fleet.deploy(
            f"{MODEL}@1.2.0", watch=30, check=False, options=("--max-latency-ratio", "0.5", "--min-requests", "20")))
        assert on["cam-1"]["state"] == "rolled_back" and on["cam-1"]["reason"]["id"] == "VRG-UPD-012"
        window("manual rollback", lambda: fleet.verge("rollback", MODEL, "--to", "all"))
        assert device.active(MODEL) == "1.0.0"
    with capsys.disabled():
        quiet = load.between(*steady)
        print(f"\nsaturation {most:.0f}/s, offered {SHARE * most:.0f}/s, {len(load.answers)} requests")
        for name, span in {"steady": steady, **windows}.items():
            took = load.between(*span)
            print(f"{name}: {len(took)} requests, p50 {statistics.median(took) * 1000:.1f} ms, p99 "
                  f"{percentile(took, 0.99):.1f} ms, p99.9 {percentile(took, 0.999):.1f} ms, "
                  f"{percentile(took, 0.999) / percentile(quiet, 0.999):.2f} x steady")
    failed = [answer for answer in load.answers if answer[2] != 200]
    assert not failed, f"{len(failed)} of {len(load.answers)} failed, the first: {failed[:3]}"
    labels = {"1.0.0": "v1 Egyptian cat", "1.1.0": "v2 Egyptian cat", "1.2.0": "v3 Egyptian cat"}
    assert all(label == labels[version] for *_, version, label in load.answers)
    assert {answer[3] for answer in load.answers} == set(labels), "every version has answered"


def resident_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_memory_does_not_grow_with_updates(fleet, tmp_path, capsys, kind):
    device = fleet.device("cam-1")
    if kind == "real":
        name, body = MODEL, photograph("chelsea.png").read_bytes()
        packages = [real_package(tmp_path, version, version + " ") for version in ("1.0.0", "1.1.0")]
    else:
        name, body = "m", None
        packages = [fake_package(tmp_path, "m", version) for version in ("1.0.0", "1.1.0")]
    for package in packages:
        fleet.push(package)
    resident = []
    for number in range(50):
        version = ("1.0.0", "1.1.0")[number % 2]
        _, on, _ = fleet.deploy(f"{name}@{version}", options=("--min-requests", "1"))
        assert on["cam-1"]["state"] == "committed"
        # At first so often that each of the agent's threads has answered once, as in any agent that has run for a while.
        for _ in range(200 if number == 0 else 5):
            status, answer = device.predict(name, body) if body else device.predict(name)
            assert status == 200 and answer["version"] == version
        resident.append(resident_kib(device.agent.process))
    with capsys.disabled():
        print(f"\n{kind}: resident after 5 updates {resident[4]} KiB, after 50 {resident[49]} KiB: "
              f"{(resident[49] / resident[4] - 1) * 100:+.1f} %")
    assert resident[49] <= 1.05 * resident[4], resident
