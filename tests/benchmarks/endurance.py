"""`./dev verify swaps` and `./dev verify soak`: an agent under load for long; nothing may fail, and nothing may grow.

swaps: 200 hot swaps between two versions of a model (SIGHUP) under open load. soak: an hour of requests over HTTP and a
pipeline. Prints one line for the record; exits with 1 when a bar is missed.
"""

import argparse
import http.client
import json
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import ROOT

MODEL = ROOT / "models" / "efficientnet_lite0"
MEMORY_RATIO = 1.05
LATENCY_RATIO = 1.10


class Agent:
    def __init__(self, build, folder, configuration):
        self.config = folder / "edge_config.yaml"
        self.config.write_text(configuration)
        self.log = folder / "agent.log"
        self.process = subprocess.Popen([build / "bin" / "verge-agent", "--config", self.config], stderr=open(self.log, "w"))
        self.port = int(self.wait(r"url=http://[^:]+:(\d+)")[1])

    def wait(self, pattern, count=1, timeout=120):
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            found = list(re.finditer(pattern, self.log.read_text()))
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.01)
        sys.exit(f"no {pattern!r} in: {self.log.read_text()[-4000:]}")

    def resident_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=30) != 0:
            sys.exit("the agent did not end well")


class Load:
    """Requests by schedule, from several threads; (moment, latency in seconds) of each, and what failed."""

    def __init__(self, port, content, per_second, threads=4):
        self.port, self.content, self.done, self.failed, self.versions = port, content, [], [], set()
        self.stop_now = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i / per_second, threads / per_second)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, first, pause):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due = time.monotonic() + first
        while not self.stop_now.is_set():
            time.sleep(max(0, due - time.monotonic()))
            try:
                connection.request("POST", "/v2/models/model/predict", self.content)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status} {body[:200]}")
                self.versions.add(json.loads(body)["version"])
            except Exception as error:  # Whatever it is, it is a request that failed.
                self.failed.append(repr(error))
                connection.close()
            self.done.append((time.monotonic(), time.monotonic() - due))
            due += pause

    def end(self):
        self.stop_now.set()
        for thread in self.threads:
            thread.join()


def copy(folder, version):
    made = shutil.copytree(MODEL, folder / f"model-{version}")
    metadata = json.loads((made / "metadata.json").read_text())
    (made / "metadata.json").write_text(json.dumps({**metadata, "version": version}))
    return made.name


def p99(latencies):
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else float("nan")


def bring_threads_into_use(port, content):
    """Each of the agent's threads keeps its stack and its allocator's memory once it has been used."""
    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v2/models/model/predict", content)
        connection.getresponse().read()
    for _ in range(5):
        threads = [threading.Thread(target=ask) for _ in range(48)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def picture():
    return (MODEL / "golden" / json.loads((MODEL / "golden/golden.json").read_text())["samples"][0]["image"]).read_bytes()


def swaps(build, folder, count):
    configuration = "version: 1\napi: {{ port: 0 }}\nstate_directory: state\nmodels: [{{ package: {}, name: model, threads: 1 }}]\n"
    versions = [copy(folder, version) for version in ("1.0.0", "2.0.0")]
    agent = Agent(build, folder, configuration.format(versions[0]))
    bring_threads_into_use(agent.port, picture())
    load = Load(agent.port, picture(), 20)
    for swap in range(1, count + 1):
        agent.config.write_text(configuration.format(versions[swap % 2]))
        agent.process.send_signal(signal.SIGHUP)
        agent.wait(r"\breloaded\b", swap)
        time.sleep(0.1)
        if swap == 5:
            start_kib = agent.resident_kib()
    end_kib = agent.resident_kib()
    load.end()
    agent.stop()
    ratio = end_kib / start_kib
    print(f"{count} swaps under {len(load.done)} requests: {len(load.failed)} failed; resident {start_kib} KiB after 5, "
          f"{end_kib} KiB after {count} ({(ratio - 1) * 100:+.1f} %); p99 {p99([l for _, l in load.done]) * 1e3:.0f} ms")
    return not load.failed and ratio <= MEMORY_RATIO and load.versions == {"1.0.0", "2.0.0"}


def soak(build, folder, seconds):
    """The first tenth is left out: what comes into use once does so there."""
    pictures = folder / "pictures"
    pictures.mkdir()
    agent = Agent(build, folder, "version: 1\napi: { port: 0 }\nstate_directory: state\n"
                  f"models: [{{ package: {MODEL}, name: model, threads: 1 }}]\n"
                  f"pipelines: [{{ name: watch, source: {{ folder: {{ path: {pictures}, watch: true }} }}, models: [{{ model: model }}], "
                  f"sinks: [{{ json_lines: {{ path: {folder}/out.jsonl }} }}] }}]\n")
    content = picture()
    load = Load(agent.port, content, 15)
    start, residents, written = time.monotonic(), [], 0
    while time.monotonic() - start < seconds:
        file = pictures / f"{written:08}.jpg"
        file.with_suffix(".part").write_bytes(content)
        file.with_suffix(".part").rename(file)
        written += 1
        for old in sorted(pictures.glob("*.jpg"))[:-20]:
            old.unlink()
        residents.append((time.monotonic() - start, agent.resident_kib()))
        time.sleep(1)
    load.end()
    agent.stop()
    predicted = sum(1 for _ in open(folder / "out.jsonl"))
    counted = [(at - start, latency) for at, latency in load.done if at - start > seconds / 10]
    middle = seconds * 0.55
    first, second = (p99([l for at, l in counted if (at < middle) == early]) for early in (True, False))
    memory = [kib for at, kib in residents if at > seconds / 10]
    early, late = (statistics.median(part) for part in (memory[:len(memory) // 5], memory[-len(memory) // 5:]))
    print(f"{seconds / 60:.0f} minutes, {len(load.done)} requests and {predicted} of {written} files: {len(load.failed)} failed; "
          f"resident {early:.0f} KiB, then {late:.0f} KiB ({(late / early - 1) * 100:+.1f} %); p99 {first * 1e3:.1f} ms, then "
          f"{second * 1e3:.1f} ms ({(second / first - 1) * 100:+.1f} %)")
    return (not load.failed and predicted >= written - 1 and late / early <= MEMORY_RATIO
            and second / first <= LATENCY_RATIO)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["swaps", "soak"])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3600)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good = (swaps(arguments.build, folder, arguments.swaps) if arguments.part == "swaps"
                else soak(arguments.build, folder, arguments.seconds))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
