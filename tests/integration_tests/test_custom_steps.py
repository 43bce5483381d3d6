"""Functions of a package's own: what they give, and that no harm comes of those that mean it."""

import ctypes
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading
import time

import pytest
import yaml
from conftest import BUILD, DATA, ROOT, verge
from fleet import running_fleet, wait_for
from inference_models import identity

INPUT = struct.pack("4f", 1, 2, 3, 4)
HARMFUL = struct.pack("4f", 13, 0, 0, 0)
PYTHON = f"custom_steps: {{ python: {ROOT}/.venv/bin/python }}\n"


def lacks_landlock():
    version = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
    return version < 1


pytestmark = pytest.mark.skipif(lacks_landlock(), reason="this kernel has no Landlock: custom steps are refused here")

# What a function must not do, and how the answer begins to say it.
HARM = {
    "an endless loop": ("while True: pass", "took more than 500 ms of processor time"),
    "a fork bomb": ("import os\n        while True: os.fork()", "started a process (os.fork)"),
    "a fork bomb of the C library": ("import ctypes\n        while True: ctypes.CDLL(None).fork()", "called fork() or clone(), which starts a process"),
    "4 GB": ("import numpy\n        numpy.ones(4 << 30, numpy.uint8)", "needed more memory than 'memory_limit_bytes' allows"),
    "4 GB of lists": ("held = []\n        while True: held.append([0] * 1000000)", "needed more memory than 'memory_limit_bytes' allows"),
    "a socket": ("import socket\n        socket.create_connection(('127.0.0.1', 9))", "opened a socket or a connection"),
    "a socket of the C library": ("import ctypes\n        ctypes.CDLL(None).socket(2, 1, 0)", "called socket(), which opens a way to the network"),
    "a foreign file": ("open('/etc/passwd').read()", "opened '/etc/passwd', which is outside the package"),
    "a way out of the package": ("open('../../../../etc/passwd').read()", "which is outside the package"),
    "a file that is written": ("open('note.txt', 'w')", "opened 'note.txt' for writing"),
    "another program": ("import subprocess\n        subprocess.run(['true'])", "started a process (subprocess.Popen)"),
    "a signal": ("import ctypes, os\n        ctypes.CDLL(None).kill(os.getppid(), 9)", "called kill() on another process"),
    "a crash": ("import ctypes\n        ctypes.string_at(0)", "ended by signal 11 (Segmentation fault)"),
    "an end": ("import os\n        os._exit(3)", "ended with status 3"),
}


def package(folder, name, postprocess=None, preprocess=None, limits="", **options):
    """A package of the engine 'fake' with Python functions, given by their text."""
    made = identity(folder, name, **options)
    for side, text, sample in (("preprocess", preprocess, "sample: tensor\n"), ("postprocess", postprocess, "")):
        if text is None:
            continue
        (made / f"{side}ing").mkdir()
        (made / f"{side}ing" / f"{side}ing_script.py").write_text(text)
        (made / f"{side}ing" / f"{side}ing.yaml").write_text(
            f"version: 1\n{sample}steps:\n  - custom: {{ file: {side}ing/{side}ing_script.py, function: {side}{limits} }}\n")
    return made


def harmful(folder, name, body, limits=", time_limit_ms: 500, memory_limit_bytes: 201326592"):
    return package(folder, name, f"def postprocess(outputs, sample):\n    if outputs['y'][0, 0] == 13:\n        {body}\n"
                   "    return {'sum': float(outputs['y'].sum())}\n", limits=limits)


def step_processes():
    """Processes that run custom steps, of whomever."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if b"step_host.py" in text or b"verge-step-worker" in text:
                found.add(int(entry))
    return found


def children(agent):
    found = set()
    for task in os.listdir(f"/proc/{agent.process.pid}/task"):
        found |= {int(child) for child in pathlib.Path(f"/proc/{agent.process.pid}/task/{task}/children").read_text().split()}
    return found & step_processes()


def predict(agent, model, content=INPUT):
    return agent.json(f"/v2/models/{model}/predict", content)


class Neighbour:
    """Asks another model all the time; what did not succeed is kept."""

    def __init__(self, agent, model):
        self.agent, self.model, self.failed, self.answered = agent, model, [], 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        while not self.stop.is_set():
            status, body = predict(self.agent, self.model)
            self.answered += 1
            if status != 200:
                self.failed.append(body)
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_each_kind_of_harm_is_ended_reported_and_its_neighbour_does_not_notice(agent, tmp_path):
    before = step_processes()
    entries = []
    for number, (body, _) in enumerate(HARM.values()):
        entries.append(f"{{ package: {harmful(tmp_path, f'harm{number}', body).name} }}")
    identity(tmp_path, "steady", delay_ms=1)
    running = agent(f"version: 1\napi: {{ port: 0 }}\nthreads: 1\nmodels: [{', '.join(entries)}, {{ package: steady, threads: 1 }}]\n")
    assert len(children(running)) == len(HARM)
    with Neighbour(running, "steady") as neighbour:
        for number, (kind, (_, says)) in enumerate(HARM.items()):
            model = f"harm{number}"
            assert predict(running, model)[1]["custom"] == {"sum": 10.0}, kind
            answered = neighbour.answered
            status, body = predict(running, model, HARMFUL)
            assert status == 500 and says in body["error"], f"{kind}: {body}"
            assert "postprocessing/postprocessing_script.py" in body["error"]
            wait_for(lambda: neighbour.answered > answered, 10, "answer of the neighbour")
            assert says in running.wait(rf"custom step ended.*model={model} .*", 10)[0]
            # Started again, and none the worse.
            assert predict(running, model)[1]["custom"] == {"sum": 10.0}, kind
            assert running.json(f"/v2/models/{model}")[1]["parameters"]["choice"]["process_restarts"] == 1
    assert not neighbour.failed
    assert len(children(running)) == len(HARM)
    assert running.stop() == 0
    assert step_processes() <= before, "a process outlived its agent"


def test_one_that_harms_too_often_is_given_up(agent, tmp_path):
    harmful(tmp_path, "harmful", "import os\n        os.fork()")
    identity(tmp_path, "steady")
    running = agent("version: 1\napi: { port: 0 }\nisolation: { max_restarts: 2 }\nmodels: [{ package: harmful }, { package: steady }]\n")
    assert [predict(running, "harmful", HARMFUL)[0] for _ in range(3)] == [500] * 3
    status, body = predict(running, "harmful")
    assert status == 503 and "it ended more than 2 times within 60 s; give the model another version" in body["error"]
    assert running.request("/v2/models/harmful/ready")[0] == 503
    assert running.request("/v2/models/steady/ready")[0] == 200
    index = {entry["name"]: entry for entry in running.json("/v2/repository/index", b"{}")[1]}
    assert index["harmful"]["state"] == "UNAVAILABLE" and "ended too often" in index["harmful"]["reason"]
    assert not children(running)


def test_an_exception_tells_where_and_ends_nobody(agent, tmp_path):
    package(tmp_path, "raises", "import math\n\ndef postprocess(outputs, sample):\n    return {'root': math.sqrt(-outputs['y'][0, 0])}\n")
    running = agent("version: 1\napi: { port: 0 }\nmodels: [{ package: raises }]\n")
    process, = children(running)
    status, body = predict(running, "raises")
    assert status == 500
    assert "ValueError: math domain error" in body["error"]
    assert "postprocessing/postprocessing_script.py, line 4, in postprocess: return {'root'" in body["error"]
    assert "VRG-STP-005" in body["error"]
    assert children(running) == {process}


def test_results_are_checked_and_the_answer_says_what_was_expected(agent, tmp_path):
    for name, result in (("dtype", "numpy.zeros((1, 4))"), ("shape", "numpy.zeros(4, numpy.float32)"), ("kind", "'words'")):
        package(tmp_path, name, preprocess=f"import numpy\ndef preprocess(raw):\n    return {result}\n")
    running = agent("version: 1\napi: { port: 0 }\nmodels: [{ package: dtype }, { package: shape }, { package: kind }]\n")
    for name, says in (("dtype", "expected FP32[1,4] for the input 'x', got FP64[1,4]; write .astype(numpy.float32)"),
                       ("shape", "expected FP32[1,4] for the input 'x', got FP32[4]; write [numpy.newaxis]"),
                       ("kind", "expected a numpy array for the input 'x', got str")):
        status, body = predict(running, name)
        assert status == 500 and says in body["error"], body


def test_no_process_outlives_an_agent_that_is_killed(agent, tmp_path):
    harmful(tmp_path, "loops", "while True: pass", limits=", time_limit_ms: 60000")
    running = agent("version: 1\napi: { port: 0 }\nmodels: [{ package: loops }]\n")
    process, = children(running)
    threading.Thread(target=lambda: pytest.raises(Exception, predict, running, "loops", HARMFUL), daemon=True).start()
    time.sleep(0.3)
    running.process.kill()
    running.process.wait()
    ended = lambda: not os.path.exists(f"/proc/{process}") or ") Z " in pathlib.Path(f"/proc/{process}/stat").read_text()
    wait_for(ended, 10, "end of the step's process")


def test_a_looping_step_does_not_hold_its_neighbours_threads(agent, tmp_path):
    harmful(tmp_path, "loops", "while True: pass", limits=", time_limit_ms: 3000")
    identity(tmp_path, "steady", delay_ms=1)
    running = agent("version: 1\napi: { port: 0 }\nthreads: 1\nmodels: [{ package: loops, threads: 1 }, { package: steady, threads: 1 }]\n")
    looping = threading.Thread(target=predict, args=(running, "loops", HARMFUL))
    looping.start()
    time.sleep(0.2)
    answers = 0
    while looping.is_alive():
        assert predict(running, "steady")[0] == 200
        answers += 1
    assert answers > 50


def test_what_the_configuration_says_of_custom_steps(agent, tmp_path):
    package(tmp_path, "custom", "def postprocess(outputs, sample): return {}\n")
    identity(tmp_path, "steady")
    models = "api: { port: 0 }\nmodels: [{ package: custom }, { package: steady }]\n"
    running = agent("version: 1\ncustom_steps: { forbidden: true }\n" + models)
    assert running.request("/v2/models/custom/ready")[0] == 404
    assert "which the agent's configuration forbids" in running.log and "VRG-STP-001" in running.log
    # Taken over by a reload.
    config = tmp_path / "edge_config.yaml"
    config.write_text("version: 1\n" + models)
    running.process.send_signal(1)
    running.wait("reloaded", 30)
    assert predict(running, "custom")[1]["custom"] == {}
    config.write_text("version: 1\ncustom_steps: { python: /nowhere/python3 }\n" + models)
    running.process.send_signal(1)
    assert "there is no interpreter at '/nowhere/python3'" in running.wait(r".*nothing was changed.*", 30)[0]
    assert predict(running, "custom")[1]["custom"] == {}, "nothing was changed"


def test_golden_samples_compare_what_a_custom_step_gives(tmp_path):
    made = package(tmp_path, "golden", "def postprocess(outputs, sample): return {'sum': float(outputs['y'].sum()), 'all': [1, 'x']}\n")
    (made / "golden").mkdir()
    (made / "golden/sample.bin").write_bytes(INPUT)
    (made / "golden/expected.json").write_text('{"all": [1.0, "x"], "sum": 10.0001}')
    (made / "golden/golden.json").write_text('{"version": 1, "samples": [{"name": "one", "sample": "sample.bin", "custom": "expected.json"}]}')
    assert "1 golden samples right" in verge("package", "verify", made).stdout
    (made / "golden/expected.json").write_text('{"all": [2, "x"], "sum": 10}')
    failed = verge("package", "verify", made, check=False)
    assert failed.returncode != 0 and "expected 'all.0' to be 2, got 1" in failed.stderr
    # As an image layout, whose files are links: the same.
    (made / "golden/expected.json").write_text('{"all": [1, "x"], "sum": 10}')
    verge("package", "create", made, "--to", tmp_path / "layout")
    assert "1 golden samples right" in verge("package", "verify", tmp_path / "layout").stdout
    (tmp_path / "in.bin").write_bytes(INPUT)
    line = json.loads(verge("run", tmp_path / "layout", "--sample", tmp_path / "in.bin", "--output", "json").stdout)
    assert line["kind"] == "custom" and line["custom"]["sum"] == 10


def test_a_package_is_checked_with_its_files(tmp_path):
    made = package(tmp_path, "broken", "def postprocess(outputs, sample): return {}\n")
    script = made / "postprocessing/postprocessing_script.py"
    digest = json.loads(verge("package", "inspect", made, "--output", "json").stdout)["digest"]
    script.write_text("def postprocess(outputs, sample): return {'x': 1}\n")
    assert json.loads(verge("package", "inspect", made, "--output", "json").stdout)["digest"] != digest
    script.write_text("")
    assert "expected a script of 1 to 1048576 bytes, got 0" in verge("package", "create", made, check=False).stderr
    script.unlink()
    assert "the package names the file 'postprocessing/postprocessing_script.py', which it does not hold" in verge(
        "package", "create", made, check=False).stderr
    (made / "postprocessing/postprocessing.yaml").write_text(
        "version: 1\nsteps:\n  - softmax:\n  - custom: { file: postprocessing/x.py, function: f }\n")
    (made / "postprocessing/x.py").write_text("def f(outputs, sample): return {}\n")
    failed = verge("package", "create", made, check=False).stderr
    assert "line 4: step 2 (custom): expected 'custom' to be the only step, got 2 steps" in failed


def test_engines_are_measured_and_versions_deployed_with_custom_steps(tmp_path):
    from fleet import fake_package
    with running_fleet(tmp_path) as fleet:
        device = fleet.device("cam-1", "")
        made = fake_package(tmp_path, "animals", "1.0.0", engine="auto")
        # Without a label of its own a class gets the package's: the golden sample wants it.
        (made / "postprocessing/script.py").write_text(
            "def postprocess(outputs, sample):\n    scores = outputs['scores'].ravel() / 255\n    best = int(scores.argmax())\n"
            "    return {'kind': 'classes', 'classes': [{'class': best, 'score': scores[best]}]}\n")
        (made / "postprocessing/postprocessing.yaml").write_text(
            "version: 1\nlabels: labels.txt\nsteps:\n  - custom: { file: postprocessing/script.py, function: postprocess }\n")
        fleet.push(made)
        _, devices, _ = fleet.deploy("animals@1.0.0")
        assert devices["cam-1"]["state"] == "committed"
        assert device.version("animals") == "1.0.0"


PLUGIN = r"""
#include <cstdio>
#include <cstring>
#include <verge/data_processing/step_abi.h>
extern "C" __attribute__((visibility("default"))) int prepare(verge_step_call* call) {
  if (call->sample_size_bytes != call->tensors[0].size_bytes) {
    call->fail(call->context, "expected 16 bytes");
    return 1;
  }
  std::memcpy(call->tensors[0].data, call->sample, call->sample_size_bytes);
  return 0;
}
extern "C" __attribute__((visibility("default"))) int add(verge_step_call* call) {
  const float* values = static_cast<const float*>(call->tensors[0].data);
  char text[64];
  const int length = std::snprintf(text, sizeof(text), R"({"kind":"values","values":{"sum":%g}})",
                                   values[0] + values[1] + values[2] + values[3]);
  call->answer(call->context, text, static_cast<size_t>(length));
  return 0;
}
"""


def test_a_plug_in_is_a_step_as_well(agent, tmp_path):
    made = identity(tmp_path, "plugin")
    (made / "preprocessing").mkdir()
    (made / "postprocessing").mkdir()
    (tmp_path / "plugin.cpp").write_text(PLUGIN)
    subprocess.run(["c++", "-shared", "-fPIC", "-O2", "-I", ROOT / "edge_application/data_processing/include",
                    tmp_path / "plugin.cpp", "-o", made / "preprocessing/libsteps.so"], check=True)
    (made / "preprocessing/preprocessing.yaml").write_text(
        "version: 1\nsample: tensor\nsteps:\n  - custom: { file: preprocessing/libsteps.so, function: prepare }\n")
    (made / "postprocessing/postprocessing.yaml").write_text(
        "version: 1\nsteps:\n  - custom: { file: preprocessing/libsteps.so, function: add }\n")
    running = agent("version: 1\napi: { port: 0 }\nmodels: [{ package: plugin }]\n")
    assert predict(running, "plugin")[1]["values"] == {"sum": 10}
    status, body = predict(running, "plugin", b"short")
    assert status == 500 and "expected 16 bytes" in body["error"]


def test_init_takes_the_scripts_of_the_briefs_layout(tmp_path):
    source = tmp_path / "models/model1"
    (source / "model_files").mkdir(parents=True)
    (source / "model_files/model.fake").write_text("verge-fake 1\ninput x FP32 [1,4]\noutput y FP32 [1,4]\nfunction identity\n")
    (source / "preprocessing_script.py").write_text(
        "import numpy\ndef preprocess(raw): return numpy.frombuffer(raw, numpy.float32).reshape(1, 4) + 1\n")
    (source / "postprocessing").mkdir()
    (source / "postprocessing/postprocessing_script.py").write_text(
        "def postprocess(outputs, sample): return {'sum': float(outputs['y'].sum())}\ndef other(outputs, sample): return {'other': 1}\n")
    said = verge("package", "init", source / "model_files/model.fake", "--to", tmp_path / "made").stdout
    assert "preprocess() of preprocessing/preprocessing_script.py" in said
    definition = yaml.safe_load((tmp_path / "made/postprocessing/postprocessing.yaml").read_text())
    assert definition["steps"] == [{"custom": {"file": "postprocessing/postprocessing_script.py", "function": "postprocess"}}]
    (tmp_path / "in.bin").write_bytes(INPUT)
    run = lambda package: json.loads(verge("run", package, "--sample", tmp_path / "in.bin", "--output", "json").stdout)
    assert run(tmp_path / "made")["custom"] == {"sum": 14.0}
    verge("package", "init", source / "model_files/model.fake", "--to", tmp_path / "asked",
          "--postprocessing", f"{source}/postprocessing/postprocessing_script.py:other")
    assert run(tmp_path / "asked")["custom"] == {"other": 1}
    failed = verge("package", "init", source / "model_files/model.fake", "--to", tmp_path / "not",
                   "--preprocessing", tmp_path / "nothing.py", check=False)
    assert failed.returncode != 0 and "expected a Python script (.py) or a plug-in (.so) for the preprocessing" in failed.stderr


# --- the brief's own functions, on real models

CLASSIFY_BEFORE = """
import numpy as np
from PIL import Image

def preprocess(picture):
    img = Image.fromarray(picture)
    img = img.resize((224, 224))
    img = np.array(img) / 255.0
    return np.expand_dims(img, axis=0).astype(np.float32)
"""
CLASSIFY_AFTER = """
import numpy as np

class_names = open('postprocessing/labels.txt').read().splitlines()

def postprocess(outputs, sample):
    predictions = next(iter(outputs.values()))
    class_index = int(np.argmax(predictions))
    return {'kind': 'classes', 'classes': [{'class': class_index, 'label': class_names[class_index],
                                            'score': predictions.ravel()[class_index]}]}
"""
SEGMENT_BEFORE = CLASSIFY_BEFORE.replace("(224, 224)", "(128, 128)")
SEGMENT_AFTER = """
import numpy as np

def postprocess(outputs, sample):
    segmentation_map = next(iter(outputs.values()))[0]
    return {'kind': 'mask', 'mask': np.argmax(segmentation_map, axis=-1).astype(np.uint8)}
"""
RESIZE = "version: 1\nsample: image\nsteps:\n  - resize: {{ width: {0}, height: {0}, interpolation: bicubic }}\n" \
         "  - normalise: {{ scale: 0.00392156862745098 }}\n"


def real(folder, name, template, model, declared):
    """A package of a real model; `declared`: its two definitions."""
    made = shutil.copytree(ROOT / "tests/integration_tests/model_table/packages" / template, folder / name)
    metadata = json.loads((made / "metadata.json").read_text())
    target = made / metadata["model"]["file"]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DATA / model, target)
    (made / "metadata.json").write_text(json.dumps({**metadata, "name": name, "engine": "litert"}))
    shutil.rmtree(made / "golden", ignore_errors=True)
    for side, text in zip(("preprocessing", "postprocessing"), declared):
        (made / side).mkdir(exist_ok=True)
        (made / side / f"{side}.yaml").write_text(text)
    return made


def with_scripts(made, before, after):
    for side, text, sample in (("preprocess", before, "sample: image\n"), ("postprocess", after, "")):
        (made / f"{side}ing" / f"{side}ing_script.py").write_text(text)
        (made / f"{side}ing" / f"{side}ing.yaml").write_text(
            f"version: 1\n{sample}steps:\n  - custom: {{ file: {side}ing/{side}ing_script.py, function: {side}, time_limit_ms: 10000 }}\n")


def test_the_briefs_classification_gives_what_the_declared_steps_give(agent, tmp_path, data):
    template, model = "mobilenet_v1_0.25_224_float", "models/cls/mobilenet_v1_0.25_224_float.tflite"
    declared = RESIZE.format(224), "version: 1\nlabels: labels.txt\nsteps:\n  - top_k: { k: 1 }\n"
    for name in ("declared", "scripted"):
        made = real(tmp_path, name, template, model, declared)
        shutil.copyfile(data / "labels" / "imagenet_1001.txt", made / "postprocessing" / "labels.txt")
    with_scripts(tmp_path / "scripted", CLASSIFY_BEFORE, CLASSIFY_AFTER)
    running = agent(f"version: 1\napi: {{ port: 0 }}\n{PYTHON}models: [{{ package: declared }}, {{ package: scripted }}]\n")
    for picture in sorted((data / "images").glob("*.jp*g")) + sorted((data / "images").glob("*.bmp")):
        answers = [predict(running, name, picture.read_bytes()) for name in ("declared", "scripted")]
        assert [status for status, _ in answers] == [200, 200], answers
        one, other = (body["classes"][0] for _, body in answers)
        assert one["label"] == other["label"] and abs(one["score"] - other["score"]) < 0.01, picture.name


def test_the_briefs_segmentation_gives_what_the_declared_steps_give(agent, tmp_path, data):
    template, model = "unet_person_float", "models/seg/unet_person/unet_person_float.tflite"
    declared = RESIZE.format(128), "version: 1\nsteps:\n  - segmentation: { method: argmax, interpolation: nearest }\n"
    for name in ("declared", "scripted"):
        real(tmp_path, name, template, model, declared)
    with_scripts(tmp_path / "scripted", SEGMENT_BEFORE, SEGMENT_AFTER)
    running = agent(f"version: 1\napi: {{ port: 0 }}\n{PYTHON}models: [{{ package: declared }}, {{ package: scripted }}]\n")
    pictures = [p for p in sorted((data / "images/seg").rglob("*")) if p.suffix in (".jpg", ".png", ".bmp")][:8]
    assert pictures
    for picture in pictures:
        (status, one), (_, other) = (predict(running, name, picture.read_bytes()) for name in ("declared", "scripted"))
        assert status == 200
        areas = [{area["class"]: area["fraction"] for area in body["areas"]} for body in (one, other)]
        assert other["mask"] == {"width": 128, "height": 128}
        for c in (0, 1):
            assert abs(areas[0].get(c, 0) - areas[1].get(c, 0)) < 0.01, (picture.name, areas)
