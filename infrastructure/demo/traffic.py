"""Traffic: pictures posted to agents at fixed times, whatever became of the ones before; nothing is tried twice."""

import collections
import http.client
import json
import threading
import time
import urllib.parse


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


Answer = collections.namedtuple("Answer", "agent at latency_ms ok version")


class Traffic:
    """Open loop: a request's latency counts from the moment it was due."""

    def __init__(self, urls, path, bodies, rate_hz, threads=8):
        self.urls, self.path, self.bodies, self.interval_s = urls, path, bodies, 1 / rate_hz
        self.answers, self.lock, self.next, self.running = [], threading.Lock(), 0, True
        self.start = time.perf_counter()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        connections = {}
        while True:
            with self.lock:
                number, self.next = self.next, self.next + 1
            due = self.start + number * self.interval_s
            time.sleep(max(0, due - time.perf_counter()))
            if not self.running:
                return
            url = self.urls[number % len(self.urls)]
            if url not in connections:
                connections[url] = http.client.HTTPConnection(urllib.parse.urlparse(url).netloc, timeout=30)
            try:
                connections[url].request("POST", self.path, self.bodies[number % len(self.bodies)])
                reply = connections[url].getresponse()
                text = reply.read()
                ok, version = reply.status == 200, json.loads(text).get("version") if reply.status == 200 else None
            except (OSError, http.client.HTTPException):
                connections.pop(url).close()
                ok, version = False, None
            answer = Answer(url, due - self.start, (time.perf_counter() - due) * 1000, ok, version)
            with self.lock:
                self.answers.append(answer)

    def now(self):
        return time.perf_counter() - self.start

    def between(self, begin, end):
        with self.lock:
            return [answer for answer in self.answers if begin <= answer.at < end]

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()
        return self.answers
