"""The benchmarks of `./dev bench`: ratios taken in one run, written to documentation/benchmarks/one_device.md."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("VERGE_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()
STARTS = 9


def machine():
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{processor[1] if processor else platform.machine()}, {os.cpu_count()} cores"


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def pictures():
    """JPEGs of several sizes: the test data's where they are, else the one that comes with scikit-image."""
    import skimage
    found = [DATA / "images" / n for n in ("bee.jpeg", "zebra.jpeg", "hot_dog.jpg", "parrot.jpg")]
    return [p for p in found if p.exists()] or [pathlib.Path(skimage.__file__).parent / "data" / "rocket.jpg"]


def packages(build, folder):
    """(package, engine) pairs to measure."""
    result = [(ROOT / "models" / "efficientnet_lite0", "openvino")]
    mobilenet = DATA / "models" / "cls" / "mobilenet_v2_1.0_224_quant.tflite"
    if mobilenet.exists():
        made = folder / "mobilenet"
        subprocess.run([build / "bin" / "verge", "package", "init", mobilenet, "--labels",
                        DATA / "labels" / "imagenet_1001.txt", "--to", made], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        result += [(made, "litert"), (made, "openvino")]
    return result


def jpeg_to_label(build, folder):
    rows = ["| model | engine | threads | picture | by hand p50 ms | Verge p50 ms | ratio | both antialiased |",
            "|---|---|---|---|---|---|---|---|"]
    worst, worst_antialiased = 0, 0
    for package, engine in packages(build, folder):
        for threads in (1, 2):
            for picture in pictures():
                done = subprocess.run([build / "bin" / "bench_model", package, picture, engine, str(threads), "150"],
                                      check=True, capture_output=True, text=True)
                r = json.loads(done.stdout)
                worst = max(worst, r["ratio"])
                worst_antialiased = max(worst_antialiased, r["ratio_antialiased"])
                rows.append(f"| {r['model']} | {engine} | {threads} | {picture.name} | {r['by_hand_p50_us'] / 1000:.2f} | "
                            f"{r['verge_p50_us'] / 1000:.2f} | {r['ratio']:.3f} | {r['ratio_antialiased']:.3f} |")
                print(rows[-1], file=sys.stderr, flush=True)
    return rows + ["", f"Largest ratio: {worst:.3f}; with both antialiased: {worst_antialiased:.3f} (bar: 1.05)."]


class Agent:
    def __init__(self, build, config):
        self.start = time.perf_counter()
        self.process = subprocess.Popen([build / "bin" / "verge-agent", "--config", config], stderr=subprocess.PIPE,
                                        text=True)
        self.url = None
        for line in self.process.stderr:
            found = re.search(r"ready.*url=(\S+)", line)
            if found:
                self.url = found[1]
                break
        self.ready_ms = (time.perf_counter() - self.start) * 1000

    def answer_ms(self, body, model):
        """Time from the start of the process to the first right answer."""
        urllib.request.urlopen(f"{self.url}/v2/models/{model}/predict", body).read()
        return (time.perf_counter() - self.start) * 1000

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)


def agent_start(build, folder):
    empty = folder / "empty.yaml"
    empty.write_text("version: 1\napi: { port: 0 }\n")
    ready, resident = [], []
    for _ in range(STARTS):
        agent = Agent(build, empty)
        ready.append(agent.ready_ms)
        resident.append(agent.resident_mib())
        agent.stop()
    rows = ["| what | median | bar |", "|---|---|---|",
            f"| agent without a model: ready | {statistics.median(ready):.0f} ms | 150 ms |",
            f"| agent without a model: resident | {statistics.median(resident):.1f} MiB | 30 MiB |"]
    body = pictures()[0].read_bytes()
    done = set()
    for package, _ in packages(build, folder / "again"):
        if package in done:
            continue
        done.add(package)
        config = folder / "one.yaml"
        config.write_text(f"version: 1\napi: {{ port: 0 }}\nstate_directory: state\nmodels: [{{ package: {package}, name: m }}]\n")
        answers, resident = [], []
        for start in range(STARTS + 1):
            agent = Agent(build, config)
            answer = agent.answer_ms(body, "m")
            if start > 0:  # The first start measures the engines and fills the state directory.
                answers.append(answer)
                resident.append(agent.resident_mib())
            agent.stop()
        bar = "400 ms" if package.name == "mobilenet" else ""
        rows.append(f"| {package.name}, cached: first answer after the start | {statistics.median(answers):.0f} ms | {bar} |")
        rows.append(f"| {package.name}: resident | {statistics.median(resident):.0f} MiB | |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "documentation" / "benchmarks" / "one_device.md")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="verge-bench-"))
    try:
        (folder / "again").mkdir()
        lines = ["# One device", "", f"`./dev bench` on {datetime.date.today()}, commit {commit()}, {machine()}, precision f32.",
                 "", "## From a JPEG to a label", "",
                 "The agent's path (`Worker::predict_encoded`, antialiased resizing) against libjpeg-turbo + `cv::resize` + the",
                 "same engine, written by hand, in turns in one process (`tests/benchmarks/model`): once with `INTER_LINEAR`, which",
                 "skips pixels, and once with `INTER_AREA`, which is antialiased too.", "",
                 *jpeg_to_label(arguments.build, folder), "", "## Start and memory of the agent", "",
                 *agent_start(arguments.build, folder)]
    finally:
        shutil.rmtree(folder)
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
