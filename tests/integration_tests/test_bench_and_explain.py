"""`verge bench` and `verge model explain` on a real model."""

import json

from conftest import ROOT, photograph, verge

MODEL = ROOT / "models" / "efficientnet_lite0"
CAT = photograph("chelsea.png")


def test_bench_measures_engine_processing_and_agent_in_one_run():
    done = json.loads(verge("bench", MODEL, "--image", CAT, "--seconds", 1, "--engine", "openvino", "--output", "json").stdout)
    assert list(done["measured"]) == ["engine", "processing", "infer", "predict"]
    for times in done["measured"].values():
        assert 0 < times["p50_us"] <= times["p90_us"] <= times["p99_us"] <= times["p99_9_us"] and times["count"] > 0
    assert done["processing_mean"]["decode_us"] > 0 and done["engine"] == "openvino"


def test_bench_shows_the_layers_of_an_engine_that_tells():
    shown = verge("bench", MODEL, "--image", CAT, "--seconds", 0.2, "--no-agent", "--engine", "openvino", "--layers", 3).stdout
    layers = shown.split("LAYER")[1].splitlines()[1:4]
    assert all("Convolution" in line or "%" in line for line in layers) and "layers," in shown


def test_bench_says_which_engine_tells_its_layers(tmp_path, data):
    package = tmp_path / "mobilenet"
    verge("package", "init", data / "models/cls/mobilenet_v1_0.25_128_quant.tflite", "--to", package)
    done = verge("bench", package, "--image", CAT, "--seconds", 0.2, "--no-agent", "--engine", "litert", "--layers", 3, check=False)
    assert done.returncode != 0 and "does not tell what its layers take; openvino does" in done.stderr


def test_explain_says_what_was_tried_and_what_is_kept(tmp_path):
    told = verge("model", "explain", MODEL, "--threads", 2, "--state", tmp_path).stdout
    assert told.count("kept") == 1 and "ms with" in told and "; next: openvino" in told
    again = json.loads(verge("model", "explain", MODEL, "--threads", 2, "--state", tmp_path, "--output", "json").stdout)
    assert again["remembered"] and {trial["settings"]["threads"] for trial in again["trials"]} == {1, 2}
    goal = json.loads(verge("model", "explain", MODEL, "--threads", 2, "--goal", "throughput", "--output", "json").stdout)
    assert all(trial["per_second"] > 0 for trial in goal["trials"] if trial["correct"])
