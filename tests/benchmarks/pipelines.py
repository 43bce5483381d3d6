"""`./dev bench pipelines`: four paced sources at once; how old a picture is when its event is written, and what was dropped.

Every frame that the sources gave is in one of the agent's counters or still waits: what the files hold is compared with
what was counted. Written to documentation/benchmarks/pipelines.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from bench import DATA, ROOT, commit, machine

sys.path.insert(0, str(ROOT / "tests" / "integration_tests"))
from model_table.programs import Package  # noqa: E402

SOURCES = 4
VIDEO = "bikes.mp4"  # 640 × 272, 25 frames a second.
CASES = (("MobileNetV2, 8 bits", "mobilenet_v2_1.0_224_quant", "camera pace, half of what the machine can"),
         ("YOLOX-Nano", "yolox_nano", "camera pace, about all that the machine can: the newest picture wins"))


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(build, folder, definition, seconds):
    Package(DATA, definition, folder / "model")
    pipelines = "".join(
        f"  - {{ name: camera{i}, source: {{ video: {{ path: {DATA}/video/{VIDEO}, paced: true, loop: true }} }}, "
        f"models: [{{ model: model }}], sinks: [{{ json_lines: {{ path: out{i}.jsonl }} }}] }}\n" for i in range(SOURCES))
    config = folder / "edge_config.yaml"
    config.write_text("version: 1\napi: { port: 0 }\nmodels: [{ package: model, name: model, workers: 2, threads: 1 }]\n"
                      f"pipelines:\n{pipelines}")
    log = folder / "agent.log"
    process = subprocess.Popen([build / "bin" / "verge-agent", "--config", config], stderr=open(log, "w"))
    while not (ready := re.search(r"ready.*url=(\S+)", log.read_text())):
        if process.poll() is not None:
            sys.exit(f"the agent ended: {log.read_text()}")
        time.sleep(0.05)
    resident = lambda: int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024
    ticks = lambda: sum(map(int, pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    time.sleep(seconds / 5)
    start, cpu, first = time.monotonic(), ticks(), resident()
    time.sleep(seconds)
    busy = (ticks() - cpu) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    last = resident()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    counted = {key: sum(map(int, re.findall(rf"pipeline ended.*{key}=(\d+)", log.read_text())))
               for key in ("predicted", "failed", "dropped")}
    ages, missing, written = [], 0, 0
    for i in range(SOURCES):
        events = [json.loads(line) for line in (folder / f"out{i}.jsonl").read_text().splitlines()]
        ages += [event["age_ms"] for event in events]
        frames = [event["frame"] for event in events]
        written += len(events)
        missing += frames[-1] + 1 - len(frames)
    # One that was dropped after the last event, and one that waits, may stand between.
    if written != counted["predicted"] or not missing <= counted["dropped"] <= missing + SOURCES or counted["failed"]:
        sys.exit(f"the counters are wrong: {counted}, written {written}, missing {missing}")
    return {"p50": percentile(ages, 0.5), "p99": percentile(ages, 0.99), "rate": written / (seconds * 1.2),
            "dropped": counted["dropped"] / (counted["dropped"] + written), "busy": busy, "first": first, "last": last}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    rows = []
    for title, definition, what in CASES:
        with tempfile.TemporaryDirectory(prefix="verge-bench-") as folder:
            print(f"==> {SOURCES} paced sources, {title}", file=sys.stderr, flush=True)
            r = measure(options.build, pathlib.Path(folder), definition, options.seconds)
            rows.append(f"| {title} | {what} | {r['p50']:.1f} | {r['p99']:.1f} | {r['rate']:.0f} of {SOURCES * 25} | "
                        f"{100 * r['dropped']:.1f} % | {r['busy']:.2f} | {r['first']:.0f} → {r['last']:.0f} |")
    text = f"""# Pipelines

`./dev bench pipelines`, {datetime.date.today()}, commit {commit()}, {machine()}; {options.seconds:.0f} s a row.

{SOURCES} sources of 25 pictures a second each (640 × 272, H.264, at their own pace) through one model with two workers, each
into a file of events. Age: from a picture's arrival (decoded) to its event in the file. The events that are there, those that
are missing and what the agent counted agree, or the benchmark fails.

| model | load | age p50 ms | age p99 ms | events a second | dropped | cores busy | resident MiB |
|---|---|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n"
    (ROOT / "documentation" / "benchmarks" / "pipelines.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
