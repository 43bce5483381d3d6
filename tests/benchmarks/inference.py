"""`./dev bench inference`: the agent beside the same done in Python, the engines' own benchmarks, and under MLPerf's LoadGen.

Rivals take turns in blocks, so that the machine's moods meet all alike. Written to documentation/benchmarks/inference.md.
"""

import argparse
import array
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import DATA, ROOT, commit, machine

sys.path.insert(0, str(ROOT / "tests" / "integration_tests"))
sys.path.insert(0, str(ROOT / "clients" / "python"))

MOBILENET = DATA / "models" / "cls" / "mobilenet_v2_1.0_224_quant.tflite"
PHOTOGRAPH = DATA / "images" / "zebra.jpeg"
LARGE = DATA / "images" / "parrot.jpg"
VIDEO = DATA / "video" / "bigbuckbunny.mp4"
EFFICIENTNET = ROOT / "models" / "efficientnet_lite0"
LOADGEN = "mlcommons-loadgen==6.0.17"
SCRATCH = ROOT / "build" / "peers-loadgen"
BLOCKS = 5


@contextlib.contextmanager
def agent(build, folder, *models, pipelines=""):
    """An agent that serves these model entries; gives its HTTP port."""
    config = folder / "edge_config.yaml"
    config.write_text("version: 1\napi: { port: 0 }\nstate_directory: state\nmodels:\n"
                      + "".join(f"  - {{ {entry} }}\n" for entry in models) + pipelines)
    log = open(folder / "agent.log", "w+")
    process = subprocess.Popen([build / "bin" / "verge-agent", "--config", config], stderr=log)
    try:
        end = time.monotonic() + 120
        while not (ready := re.search(r"url=http://[^:]+:(\d+)", (folder / "agent.log").read_text())):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the agent does not start: {(folder / 'agent.log').read_text()}")
            time.sleep(0.05)
        yield int(ready[1])
    finally:
        process.terminate()
        process.wait()


def package(build, folder):
    made = folder / "mobilenet"
    subprocess.run([build / "bin" / "verge", "package", "init", MOBILENET, "--labels", DATA / "labels/imagenet_1001.txt", "--to",
                    made], check=True, capture_output=True)
    return made


class Asker:
    """Asks one thing over one kept connection; counts and times."""

    def __init__(self, port, path, body, headers=None):
        self.port, self.path, self.body, self.headers = port, path, body, headers or {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self):
        self.connection.request("POST", self.path, self.body, self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content.decode())
        return content


def throughput(make, clients, seconds):
    """Answers a second that so many clients get together."""
    counts, end = [0] * clients, time.monotonic() + seconds

    def work(i):
        asker = make()
        while time.monotonic() < end:
            asker.ask()
            counts[i] += 1
    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - start)


def in_python(threads):
    """Load, resize, predict, argmax: what a Python program does with Pillow and LiteRT."""
    import numpy
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image
    interpreter = Interpreter(str(MOBILENET), num_threads=threads)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def predict(photograph=PHOTOGRAPH):
        picture = Image.open(photograph).convert("RGB").resize((224, 224), Image.BILINEAR)
        interpreter.set_tensor(taken, numpy.asarray(picture, numpy.uint8)[None])
        interpreter.invoke()
        return int(interpreter.get_tensor(given)[0].argmax())
    return predict


def timed(call, seconds):
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def camera_picture(build, folder):
    """A frame of 1280 × 720 as a camera sends it: the preview of a pipeline whose model has nothing to draw."""
    sys.path.insert(0, str(ROOT / "tests" / "integration_tests"))
    from fleet import fake_package
    fake = fake_package(folder, "plain", "1.0.0")
    (fake / "postprocessing" / "postprocessing.yaml").write_text("version: 1\nsteps: []\n")
    metadata = json.loads((fake / "metadata.json").read_text())
    (fake / "metadata.json").write_text(json.dumps({**metadata, "task": "tensor"}))
    with agent(build, folder, f"package: {fake}", pipelines=f"pipelines: [{{ name: camera, models: [{{ model: plain }}], "
               f"source: {{ video: {{ path: {VIDEO}, loop: true }} }}, sinks: [{{ preview: {{ quality: 85 }} }}] }}]\n") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/pipelines/camera/preview.jpg")
        made = folder / "camera.jpg"
        made.write_bytes(connection.getresponse().read())
    return made


def against_python(build, folder, seconds):
    """Rows: what, Python, Verge, ratio."""
    made = package(build, folder)
    predict = in_python(2)
    camera = camera_picture(build, folder)
    rows = []
    with agent(build, folder, f"package: {made}, name: one, engine: litert, threads: 2",
               f"package: {made}, name: many, engine: litert, threads: 1, workers: 2") as port:
        for what, photograph in (("336 × 224, 39 KB", PHOTOGRAPH), ("512 × 929, 597 KB", LARGE),
                                 (f"1280 × 720, {camera.stat().st_size >> 10} KB", camera)):
            content = photograph.read_bytes()
            one = Asker(port, "/v2/models/one/predict", content)
            one.ask()
            predict(photograph)
            python, verge, python_rate, verge_rate = [], [], [], []
            for _ in range(BLOCKS):
                python += timed(lambda: predict(photograph), seconds / 2)
                verge += timed(one.ask, seconds / 2)
                python_rate.append(len(timed(lambda: predict(photograph), seconds / 2)) / (seconds / 2))
                verge_rate.append(throughput(lambda: Asker(port, "/v2/models/many/predict", content), 4, seconds / 2))
            p50 = lambda times: statistics.median(times) * 1e3
            rows += [(f"one picture ({what}), p50 ms", p50(python), p50(verge), p50(python) / p50(verge)),
                     (f"pictures a second ({what})", statistics.median(python_rate), statistics.median(verge_rate),
                      statistics.median(verge_rate) / statistics.median(python_rate))]
    return rows


def tensor_load(build, port, seconds):
    """Inferences a second that the C++ client of ./dev bench serving gets from 'model', tensors in shared memory."""
    (name, datatype, shape, size), = tensors_of(port)[0]
    output = tensors_of(port)[1][0][0]
    target = f"ours,http-shm-model,127.0.0.1:{port},model,0,{size},{datatype},{name},{output},{'x'.join(map(str, shape))}"
    done = subprocess.run([build / "bin/bench_serving", "--rounds", "1", "--block", str(int(200 * seconds)), "--connections",
                           "4", target], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["ours"]["requests_per_s"]


def against_the_engines_own(build, folder, seconds):
    """Rows: engine, its own benchmark's best, the agent's best, ratio."""
    rows = []
    onnx = next((EFFICIENTNET / "model_files").glob("*.onnx"))
    with agent(build, folder, f"package: {EFFICIENTNET}, name: model, engine: openvino, optimise_for: throughput") as port:
        tensor_load(build, port, 1)
        theirs, ours = [], []
        for _ in range(BLOCKS):
            done = subprocess.run([pathlib.Path(sys.executable).parent / "benchmark_app", "-m", onnx, "-hint", "throughput", "-t",
                                   str(int(seconds)), "-infer_precision", "f32"], capture_output=True, text=True, check=True,
                                  cwd=folder)
            theirs.append(float(re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)[1]))
            ours.append(tensor_load(build, port, seconds))
    rows.append(("OpenVINO, EfficientNet-Lite0", "benchmark_app -hint throughput", theirs, ours))
    made = package(build, folder)
    with agent(build, folder, f"package: {made}, name: model, engine: litert, optimise_for: throughput") as port:
        tensor_load(build, port, 1)
        theirs, ours = [], []
        for _ in range(BLOCKS):
            best = 0
            for threads in (1, 2):
                result = folder / "litert.json"
                subprocess.run([pathlib.Path(sys.executable).parent / "litert-benchmark", "--model", MOBILENET, "--num_threads",
                                str(threads), "--num_runs", "200", "--result_json", result], capture_output=True, check=True)
                best = max(best, 1e3 / average_ms(json.loads(result.read_text())))
            theirs.append(best)
            ours.append(tensor_load(build, port, seconds))
    rows.append(("LiteRT, MobileNetV2 (8 bits)", "litert-benchmark, the better of 1 and 2 threads", theirs, ours))
    return [(name, rival, statistics.median(theirs), statistics.median(ours),
             statistics.median(ours) / statistics.median(theirs)) for name, rival, theirs, ours in rows]


def average_ms(result):
    """The mean inference time that litert-benchmark writes, whatever it calls the unit."""
    found = {}

    def look(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, (int, float)):
                    found[key.lower()] = value
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)
    look(result)
    for key, scale in (("avg_ms", 1), ("mean_ms", 1), ("avg_us", 1e-3), ("mean_us", 1e-3)):
        for name, value in found.items():
            if name.endswith(key) and "warm" not in name and "init" not in name:
                return value * scale
    sys.exit(f"litert-benchmark wrote no mean time that is known: {sorted(found)}")


def tensors_of(port):
    """Inputs and outputs of the model called 'model', with their sizes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/v2/models/model")
    described = json.loads(connection.getresponse().read())
    width = {"FP32": 4, "UINT8": 1, "INT8": 1}

    def tensor(entry):
        count = 1
        for size in entry["shape"]:
            count *= max(size, 1)
        return entry["name"], entry["datatype"], [max(size, 1) for size in entry["shape"]], count * width[entry["datatype"]]
    return [tensor(entry) for entry in described["inputs"]], [tensor(entry) for entry in described["outputs"]]


def loadgen(build, folder, seconds):
    """Rows of MLPerf's scenarios: what LoadGen itself reports."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", SCRATCH, LOADGEN], check=True)
    sys.path.insert(0, str(SCRATCH))
    import mlperf_loadgen as lg
    made, content, rows = package(build, folder), PHOTOGRAPH.read_bytes(), []
    with agent(build, folder, f"package: {made}, name: model, engine: litert, optimise_for: latency") as port:
        asker = Asker(port, "/v2/models/model/predict", content)
        asker.ask()
        answers = []

        def issue(queries):
            for query in queries:
                asker.ask()
                answer = array.array("B", b"\1")
                answers.append(answer)  # LoadGen keeps its address.
                lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, answer.buffer_info()[0], 1)])
        for name, scenario in (("SingleStream", lg.TestScenario.SingleStream), ("MultiStream", lg.TestScenario.MultiStream)):
            settings = lg.TestSettings()
            settings.scenario, settings.mode = scenario, lg.TestMode.PerformanceOnly
            settings.min_duration_ms = int(seconds * 1000)
            settings.min_query_count = 700  # LoadGen's early stopping wants 662 for a p99.
            logs = lg.LogSettings()
            logs.log_output.outdir = str(folder)
            logs.log_output.copy_summary_to_stdout = False
            sut = lg.ConstructSUT(issue, lambda: None)
            qsl = lg.ConstructQSL(64, 64, lambda _: None, lambda _: None)
            lg.StartTestWithLogSettings(sut, qsl, settings, logs)
            lg.DestroyQSL(qsl)
            lg.DestroySUT(sut)
            summary = (folder / "mlperf_log_summary.txt").read_text()
            share, reported = ("90", "90.00") if name == "SingleStream" else ("99", "99.00")
            nanoseconds = float(re.search(rf"^{re.escape(reported)} percentile latency \(ns\)\s*: (\d+)", summary, re.MULTILINE)[1])
            valid = re.search(r"^Result is : (\w+)", summary, re.MULTILINE)[1]
            rows.append((name, f"p{share} {nanoseconds / 1e6:.2f} ms" + (" for 8 samples" if share == "99" else ""), valid))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=8, help="length of a block")
    arguments = parser.parse_args()
    if not MOBILENET.exists():
        sys.exit(f"needs the test data's MobileNetV2 at {MOBILENET}: set VERGE_TEST_DATA")
    with tempfile.TemporaryDirectory() as name:
        part = lambda kind: (pathlib.Path(name) / kind).mkdir() or pathlib.Path(name) / kind
        python = against_python(arguments.build, part("python"), arguments.seconds)
        engines = against_the_engines_own(arguments.build, part("engines"), arguments.seconds)
        mlperf = loadgen(arguments.build, part("loadgen"), max(arguments.seconds, 10))
    lines = ["# Inference", "",
             f"`./dev bench inference`, {datetime.date.today()}, commit {commit()}, {machine()}; {BLOCKS} blocks of "
             f"{arguments.seconds:g} s each, in turns, medians.", "",
             "**Pillow and LiteRT in Python** (load a JPEG, resize, predict, argmax; two threads) against an agent over HTTP, asked by a",
             "Python client on the same cores; MobileNetV2 in 8 bits:", "",
             "| | Python | Verge | ratio |", "|---|---|---|---|",
             *(f"| {what} | {a:.2f} | {b:.2f} | {ratio:.2f} |" for what, a, b, ratio in python), "",
             "**The engines' own benchmarks**, inferences a second, against the agent with `optimise_for: throughput`, tensors in shared",
             "memory, a C++ client with four connections on the same cores:", "",
             "| engine, model | rival | rival's | agent's | ratio |", "|---|---|---|---|---|",
             *(f"| {name} | {rival} | {a:.1f} | {b:.1f} | {ratio:.3f} |" for name, rival, a, b, ratio in engines), "",
             f"**MLPerf's LoadGen** ({LOADGEN.split('==')[1]}) against the agent, MobileNetV2, a JPEG to `predict`:", "",
             "| scenario | reported | result |", "|---|---|---|",
             *(f"| {name} | {latency} | {valid} |" for name, latency, valid in mlperf), ""]
    text = "\n".join(lines)
    print(text)
    (ROOT / "documentation" / "benchmarks" / "inference.md").write_text(text)


if __name__ == "__main__":
    main()
