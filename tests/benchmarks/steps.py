"""`./dev verify steps`: what a neighbour notices of custom steps that mean harm.

A real model answers requests at a steady rate. Beside it, in one and the same agent, another package's function does each
kind of harm in turn: blocks with it and blocks without it alternate, so that what changes on the machine changes in both.
The process is killed and started again all through a block. Prints the ratio of the neighbour's p99 for each kind, one
line for the record; exits with 1 when one is above the bar, or when harm was done unreported.

"memory to the limit" has no bar: a process at the lowest priority that takes and frees half a gigabyte each second slows
its neighbours on a virtual machine whose host takes freed memory back, with Verge or without.
"""

import argparse
import http.client
import json
import pathlib
import random
import struct
import sys
import tempfile
import threading
import time

from endurance import MODEL, Agent, p99, picture

RATIO = 1.10
HARM = {
    "endless loop": ("while True: pass", "VRG-STP-007"),
    "fork bomb": ("import os\n        while True: os.fork()", "VRG-STP-008"),
    "4 GB": ("import numpy\n        numpy.ones(4 << 30, numpy.uint8)", "VRG-STP-009"),
    "socket": ("import socket\n        socket.create_connection(('127.0.0.1', 9))", "VRG-STP-008"),
    "foreign file": ("open('/etc/passwd').read()", "VRG-STP-008"),
    "memory to the limit": ("import numpy\n        held = []\n        while True: held.append(numpy.ones(1 << 24, numpy.uint8))",
                            "VRG-STP-00"),
}
WITHOUT_BAR = ("memory to the limit",)
SAMPLE = struct.pack("4f", 13, 0, 0, 0)


def hostile(folder, number, body):
    made = folder / f"hostile{number}"
    (made / "model_files").mkdir(parents=True)
    (made / "postprocessing").mkdir()
    (made / "model_files/model.fake").write_text("verge-fake 1\ninput x FP32 [1,4]\noutput y FP32 [1,4]\nfunction identity\n")
    tensor = {"datatype": "FP32", "shape": [1, 4]}
    (made / "metadata.json").write_text(json.dumps({
        "schema_version": 1, "name": made.name, "version": "1.0.0", "task": "tensor", "engine": "fake",
        "model": {"file": "model_files/model.fake", "format": "fake"},
        "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}))
    (made / "postprocessing/postprocessing.yaml").write_text(
        "version: 1\nsteps:\n  - custom: { file: postprocessing/step.py, function: postprocess }\n")
    (made / "postprocessing/step.py").write_text(f"def postprocess(outputs, sample):\n    if True:\n        {body}\n    return {{}}\n")
    return made.name


class Harm:
    """Asks for it again and again while it is on."""

    def __init__(self, port, model):
        self.port, self.path = port, f"/v2/models/{model}/predict"
        self.on, self.over = threading.Event(), False
        self.answers = []
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.over:
            if not self.on.wait(0.05):
                continue
            connection.request("POST", self.path, SAMPLE)
            answer = connection.getresponse()
            self.answers.append((answer.status, answer.read().decode()))

    def end(self):
        self.over = True
        self.on.set()
        self.thread.join()


class Neighbour:
    """Requests by schedule; the latency in seconds of each, by whether harm was on when it was due."""

    def __init__(self, port, per_second):
        self.port, self.pause, self.content = port, 1 / per_second, picture()
        self.latencies, self.failed = {}, []

    def run(self, key, seconds):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        taken = self.latencies.setdefault(key, [])
        end, due = time.monotonic() + seconds, time.monotonic()
        while due < end:
            time.sleep(max(0, due - time.monotonic()))
            connection.request("POST", "/v2/models/model/predict", self.content)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                self.failed.append(body)
            taken.append(time.monotonic() - due)
            due += self.pause


def measure(agent, models, per_second, blocks, block_s):
    neighbour = Neighbour(agent.port, per_second)
    neighbour.run("warm", 3)
    ratios, rounds = {}, {}
    for (kind, (_, identifier)), model in zip(HARM.items(), models):
        harm = Harm(agent.port, model)
        for _ in range(blocks):
            order = [False, True]
            random.shuffle(order)
            for on in order:
                (harm.on.set if on else harm.on.clear)()
                if not on:
                    time.sleep(1.5)  # What was begun ends.
                neighbour.run((kind, on), block_s)
            harm.on.clear()
        harm.end()  # Before anything may go wrong: its thread would keep the program.
        without, with_harm = neighbour.latencies[kind, False], neighbour.latencies[kind, True]
        ratios[kind] = p99(with_harm) / p99(without)
        unreported = [answer for answer in harm.answers if answer[0] != 500 or identifier not in answer[1]]
        rounds[kind] = len(harm.answers)
        print(f"{kind}: p99 {p99(without) * 1e3:.2f} ms without, {p99(with_harm) * 1e3:.2f} ms with ({ratios[kind]:.3f}); "
              f"{len(without)} and {len(with_harm)} requests, {rounds[kind]} times killed and reported", file=sys.stderr)
        if unreported or not harm.answers:
            sys.exit(f"{kind}: expected 500 with {identifier}, got {unreported[:1] or 'no answer'}")
    return neighbour, ratios, rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--per-second", type=float, default=25)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--block-seconds", type=float, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        models = [hostile(folder, number, body) for number, (body, _) in enumerate(HARM.values())]
        entries = ", ".join(f"{{ package: {model}, threads: 1 }}" for model in models)
        agent = Agent(arguments.build, folder, "version: 1\napi: { port: 0 }\nisolation: { max_restarts: 1000 }\n"
                      f"models: [{{ package: {MODEL}, name: model, threads: 1 }}, {entries}]\n")
        try:
            neighbour, ratios, rounds = measure(agent, models, arguments.per_second, arguments.blocks, arguments.block_seconds)
        finally:
            agent.stop()
    if neighbour.failed:
        sys.exit(f"{len(neighbour.failed)} requests of the neighbour failed: {neighbour.failed[0]}")
    print(f"p99 of a neighbour at {arguments.per_second:g} requests a second, with harm to without: "
          + ", ".join(f"{kind} {ratio:.3f} ({rounds[kind]}×)" for kind, ratio in ratios.items()))
    sys.exit(0 if max(ratio for kind, ratio in ratios.items() if kind not in WITHOUT_BAR) <= RATIO else 1)


if __name__ == "__main__":
    main()
