"""The `verge` program, as a data scientist uses it."""

import json
import shutil
import struct
import subprocess
import zlib

import pytest
from conftest import BUILD, ROOT, photograph, verge
from PIL import Image

MODELS = ROOT / "models"


def run_json(*arguments, **options):
    return [json.loads(line) for line in verge("run", *arguments, "--output", "json", **options).stdout.splitlines()]


def test_classifies_photographs():
    found = run_json(MODELS / "efficientnet_lite0", "--image", photograph("chelsea.png"), photograph("coffee.png"))
    assert [f["classes"][0]["label"] for f in found] == ["Egyptian cat", "espresso"]
    assert found[0]["model"] == "efficientnet_lite0" and found[0]["latency_ms"]["infer"] > 0


def test_segments_and_draws(tmp_path):
    done = verge("run", MODELS / "selfie_segmentation", "--image", photograph("astronaut.png"), "--output", "image",
                 "--directory", tmp_path)
    overlay, mask = [Image.open(line) for line in done.stdout.splitlines()]
    assert overlay.size == mask.size == (512, 512)
    assert set(mask.tobytes()) == {0, 1}


def test_preview_draws_in_the_terminal():
    done = verge("run", MODELS / "unet_fashion", "--image", photograph("coffee.png"), "--preview")
    assert "▀" in done.stdout and "38;2;" in done.stdout


def test_a_bare_model_needs_no_package(data):
    labels = data / "labels" / "imagenet_1001.txt"
    done = verge("run", data / "models/cls/mobilenet_v2_1.0_224_quant.tflite", "--labels", labels, "--image",
                 data / "images/parrot.jpg")
    assert "macaw" in done.stdout and "a guess" in done.stderr and "nhwc" in done.stderr


def test_a_video_is_run_frame_by_frame(data):
    found = run_json(MODELS / "efficientnet_lite0", "--video", data / "video/bigbuckbunny.mp4")
    assert [f["frame"] for f in found] == list(range(132))


def test_engine_auto_shows_its_choice():
    done = verge("run", MODELS / "selfie_segmentation", "--image", photograph("astronaut.png"))
    assert "litert" in done.stderr and "not used" in done.stderr and "correct" in done.stderr


def test_init_check_create_verify_unpack(tmp_path, data):
    package = tmp_path / "mobilenet"
    done = verge("package", "init", data / "models/cls/mobilenet_v1_0.25_224_float.tflite", "--labels",
                 data / "labels/imagenet_1001.txt", "--to", package)
    for guessed in ("layout", "nhwc", "colour order", "values", "task", "classification", "a guess"):
        assert guessed in done.stdout
    done = verge("package", "check", package, "--image", data / "images/golden_retriever.jpeg", "--expect", "golden retriever",
                 "--write")
    assert "Best: rgb, -1 … 1" in done.stdout
    for _ in range(2):
        first = verge("package", "create", package, "--to", tmp_path / "layout").stdout
    assert first.splitlines()[1].startswith("sha256:")
    assert "definitions valid" in verge("package", "verify", tmp_path / "layout").stdout
    verge("package", "unpack", tmp_path / "layout", "--to", tmp_path / "again")
    again = json.loads(verge("package", "inspect", tmp_path / "again", "--output", "json").stdout)
    assert again["digest"] == first.splitlines()[1]
    found = run_json(tmp_path / "layout", "--image", data / "images/zebra.jpeg")
    assert found[0]["classes"][0]["label"] == "zebra"


def test_golden_samples_decide():
    done = verge("package", "verify", MODELS / "efficientnet_lite0")
    assert "4 golden samples right" in done.stdout


def test_a_package_that_gives_wrong_answers_is_refused(tmp_path):
    package = tmp_path / "swapped"
    shutil.copytree(MODELS / "efficientnet_lite0", package)
    labels = (package / "postprocessing/labels.txt").read_text().splitlines()
    (package / "postprocessing/labels.txt").write_text("\n".join(labels[1:] + labels[:1]) + "\n")
    done = verge("package", "verify", package, check=False)
    assert done.returncode == 7 and "golden sample" in done.stderr


@pytest.mark.parametrize("change, file, expected", [
    (("width: 224", "width: 225"), "preprocessing/preprocessing.yaml", "preprocessing.yaml line 5"),
    (("colour: rgb", "colour: rgbb"), "preprocessing/preprocessing.yaml", "did you mean 'rgb'"),
    (("- softmax:", "- softmaxx:"), "postprocessing/postprocessing.yaml", "did you mean 'softmax'"),
    (("mean: [127]", "mean: [127, 1]"), "preprocessing/preprocessing.yaml", "preprocessing.yaml line 6"),
])
def test_a_bad_definition_fails_when_the_package_is_made(tmp_path, change, file, expected):
    package = tmp_path / "bad"
    shutil.copytree(MODELS / "efficientnet_lite0", package)
    text = (package / file).read_text()
    assert change[0] in text
    (package / file).write_text(text.replace(*change))
    done = verge("package", "create", package, "--to", tmp_path / "out", check=False)
    assert done.returncode == 2 and expected in done.stderr
    assert not (tmp_path / "out").exists()


def corrupt_pictures(folder):
    """(name, what the message must say) of pictures that nobody can decode."""
    whole = photograph("rocket.jpg").read_bytes()
    png = photograph("chelsea.png").read_bytes()
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    bomb += struct.pack(">I", zlib.crc32(bomb[12:]))
    content = zlib.compress(bytes(1000))
    bomb += struct.pack(">I", len(content)) + b"IDAT" + content + struct.pack(">I", zlib.crc32(b"IDAT" + content))
    files = {"cut.jpg": (whole[:len(whole) // 2], "corrupt or truncated"), "cut.png": (png[:5000], "corrupt or truncated"),
             "empty.jpg": (b"", "no bytes"), "text.jpg": (b"not a picture", "expected a JPEG, PNG or BMP"),
             "bomb.png": (bomb, "too large")}
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    return {name: text for name, (_, text) in files.items()}


def test_bad_pictures_are_refused_and_the_rest_goes_on(tmp_path):
    expected = corrupt_pictures(tmp_path)
    shutil.copy(photograph("chelsea.png"), tmp_path / "good.png")
    done = verge("run", MODELS / "efficientnet_lite0", "--folder", tmp_path, "--output", "json", check=False)
    assert done.returncode != 0
    for name, text in expected.items():
        (line,) = [l for l in done.stderr.splitlines() if name in l]
        assert text in line and "VRG-IMG-" in line
    assert json.loads(done.stdout)["classes"][0]["label"] == "Egyptian cat"


@pytest.mark.parametrize("arguments, status, text", [
    (["run", "/nowhere"], 2, "--image"),
    (["run", "/nowhere", "--image", "x.png"], 3, "where there is nothing"),
    (["run", MODELS / "efficientnet_lite0", "--video", "/nowhere.mp4"], 3, "expected a video"),
    (["run", MODELS / "efficientnet_lite0", "--camera", "250"], 12, "/dev/video250"),
    (["run", MODELS / "efficientnet_lite0", "--image", photograph("coffee.png"), "--engine", "tensorrt"], 3, "openvino"),
    (["run", MODELS / "efficientnet_lite0", "--image", photograph("coffee.png"), "--engine", "litert"], 11, "onnx"),
    (["package", "init", "/etc/hostname"], 2, "expected a model"),
    (["package", "inspect", "/etc"], 2, "metadata.json"),
    (["rum"], 2, "did you mean 'run'?"),
])
def test_each_error_has_its_status_and_advice(arguments, status, text):
    done = verge(*arguments, check=False)
    assert (done.returncode, text in done.stderr) == (status, True), done.stderr
    assert "VRG-" in done.stderr or status == 2


def test_errors_are_json_where_json_was_asked_for():
    done = verge("run", MODELS / "efficientnet_lite0", "--image", "/nowhere.png", "--output", "json", check=False)
    assert json.loads(done.stderr)["error"]["code"] == "not_found"


def test_a_missing_engine_is_named(tmp_path):
    (tmp_path / "libverge_engine_litert.so").write_bytes(b"not a library")
    import os
    done = verge("run", MODELS / "efficientnet_lite0", "--image", photograph("coffee.png"), check=False,
                 env={**os.environ, "VERGE_ENGINE_PATH": str(tmp_path)})
    assert done.returncode == 7 and "no engine of this machine" in done.stderr and "litert" in done.stderr


def test_every_verb_has_help_and_completion():
    for verb in ([], ["run"], ["package"], ["package", "init"], ["package", "check"], ["engines"], ["completion"]):
        assert "--help" in verge(*verb, "--help").stdout
    for shell in ("bash", "zsh", "fish"):
        script = verge("completion", shell).stdout
        assert "run" in script and "unpack" in script
    checked = subprocess.run(["bash", "-n"], input=verge("completion", "bash").stdout, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert {e["name"] for e in json.loads(verge("engines", "--output", "json").stdout)} >= {"openvino", "litert", "fake"}
    assert (BUILD / "bin" / "verge").exists()


def test_a_full_disk_is_said(tmp_path):
    """/dev/full stands for a full disk."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([BUILD / "bin" / "verge", "engines"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (0, 9)
