"""Keras and TensorFlow models imported by `verge package init`: what the engine gives is what the source gives.

The converter needs an environment of its own (TensorFlow): VERGE_IMPORT_KERAS, or build/import_keras as `./dev verify
import` makes it. Where it is not, only the errors are tested, and the rest is skipped by name.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("VERGE_TEST_DATA") or ROOT.parent / "shared/data").resolve() / "models"
BUILD = Path(os.environ.get("VERGE_BUILD") or ROOT / "build/dev").resolve()
CONVERTER = Path(os.environ.get("VERGE_IMPORT_KERAS") or ROOT / "build/import_keras").resolve()
EVERY_MODEL = os.environ.get("VERGE_IMPORT_ALL") == "1"
LIMIT_S = 300

needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no real models: VERGE_TEST_DATA ({DATA.parent}) is not there")
needs_converter = pytest.mark.skipif(not (CONVERTER / "bin/python").exists(),
                                     reason=f"no Keras converter at {CONVERTER} (./dev verify import)")
long = pytest.mark.skipif(not EVERY_MODEL, reason="every model takes minutes: ./dev verify import")

RESNET = "cls/resnet8_cifar10/"


def init(folder, *arguments, converter=CONVERTER):
    """(exit status, what it made or the error)"""
    done = subprocess.run([BUILD / "bin/verge", "package", "init", *map(str, arguments), "--to", folder, "--output", "json"],
                          capture_output=True, text=True, timeout=LIMIT_S, check=False,
                          env=os.environ | {"VERGE_IMPORT_KERAS": str(converter)})
    return done.returncode, json.loads(done.stdout or done.stderr)


def refused(folder, *arguments, converter=CONVERTER):
    status, said = init(folder, *arguments, converter=converter)
    assert status != 0 and not Path(folder).exists(), said
    return said["error"]


def agrees(folder, *arguments):
    """Imports, and replays every sample on the engine that reads it."""
    status, made = init(folder, *arguments)
    assert status == 0, made
    done = subprocess.run([BUILD / "bin/verge", "package", "verify", folder, "--output", "json"], capture_output=True,
                          text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["golden_samples"] >= 5
    return made


def python(code, *arguments):
    """Runs a line of Python beside TensorFlow."""
    subprocess.run([CONVERTER / "bin/python", "-c", code, *map(str, arguments)], capture_output=True, timeout=LIMIT_S,
                   check=True)


@needs_data
def test_a_missing_converter_is_named_with_its_command(tmp_path):
    error = refused(tmp_path / "p", DATA / RESNET / "pretrainedResnet.h5", converter=tmp_path / "none")
    assert error["id"] == "VRG-DRF-005"
    assert str(tmp_path / "none") in error["message"] and "--install-converter" in error["message"]


@needs_data
@needs_converter
def test_the_triple_is_one_model(tmp_path):
    """model.pb, model_weights.h5 and model_config.yaml: the graph is kept when it is what the other two make."""
    triple = DATA / RESNET / "tf_frozen"
    config = tmp_path / "model_config.yaml"
    config.write_text(yaml.safe_dump(json.loads((triple / "model.json").read_text())))
    made = agrees(tmp_path / "p", triple / "model.pb", "--weights", triple / "model_weights.h5", "--config", config)
    assert made["metadata"]["model"]["format"] == "tensorflow"
    kept = tmp_path / "p" / made["metadata"]["model"]["file"]
    assert kept.read_bytes() == (triple / "model.pb").read_bytes()
    samples = json.loads((tmp_path / "p/golden/golden.json").read_text())["samples"]
    assert {sample["name"] for sample in samples} >= {"zeros", "0 to 255"}


@needs_data
@needs_converter
def test_parts_of_different_models_are_refused(tmp_path):
    triple, other = DATA / RESNET / "tf_frozen", DATA / "tabular/ad01/tf_frozen"
    error = refused(tmp_path / "p", triple / "model.pb", "--weights", other / "model_weights.h5", "--config",
                    other / "model.json")
    assert error["id"] == "VRG-DRF-006" and "are they of the same model?" in error["message"]
    changed = tmp_path / "changed.h5"
    python("import sys, shutil, h5py; shutil.copy(*sys.argv[1:]); file = h5py.File(sys.argv[2], 'r+');\n"
           "names = []; file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) and 'kernel' in n else None)\n"
           "file[names[0]][...] = file[names[0]][...] * 1.5", triple / "model_weights.h5", changed)
    error = refused(tmp_path / "p", triple / "model.pb", "--weights", changed, "--config", triple / "model.json")
    assert error["id"] == "VRG-DRF-006" and "are not the same model" in error["message"]


@needs_data
@needs_converter
def test_code_in_a_model_is_not_run(tmp_path):
    error = refused(tmp_path / "p", DATA / "seg/slimnet/slim_reshape.h5")
    assert error["id"] == "VRG-DRF-006" and "Lambda" in error["message"]


@needs_data
@needs_converter
def test_a_graph_that_touches_files_is_not_run(tmp_path):
    graph = tmp_path / "model.pb"
    python("import sys, tensorflow as tf\n"
           "with tf.Graph().as_default() as graph:\n"
           "    x = tf.compat.v1.placeholder(tf.float32, [1, 4], name='x')\n"
           "    with tf.control_dependencies([tf.io.write_file(sys.argv[2], 'run')]):\n"
           "        tf.identity(x, name='y')\n"
           "open(sys.argv[1], 'wb').write(graph.as_graph_def().SerializeToString())", graph, tmp_path / "written")
    error = refused(tmp_path / "p", graph, "--compare")
    assert error["id"] == "VRG-DRF-006" and "WriteFile" in error["message"]
    assert not (tmp_path / "written").exists()


@needs_data
@needs_converter
def test_what_is_no_model_is_refused(tmp_path):
    for name, content in (("a.h5", b"no HDF5"), ("a.json", b"[1]"), ("a.keras", b"no zip")):
        (tmp_path / name).write_bytes(content)
        more = ["--weights", DATA / RESNET / "tf_frozen/model_weights.h5"] if name.endswith("json") else []
        assert refused(tmp_path / "p", tmp_path / name, *more)["id"] == "VRG-DRF-006"
    error = refused(tmp_path / "p", DATA / RESNET / "tf_frozen/model_weights.h5")
    assert "--config" in error["message"]


@needs_data
@needs_converter
@long
@pytest.mark.parametrize("model", [RESNET + "pretrainedResnet.h5", "tabular/ad01/ad01.h5"])
def test_whole_keras_models(model, tmp_path):
    agrees(tmp_path / "p", DATA / model)


@needs_data
@needs_converter
@long
def test_configuration_and_weights_alone(tmp_path):
    triple = DATA / "tabular/ad01/tf_frozen"
    agrees(tmp_path / "p", triple / "model.json", "--weights", triple / "model_weights.h5")
    agrees(tmp_path / "q", triple / "model.pb", "--weights", triple / "model_weights.h5", "--config", triple / "model.json")


@needs_data
@needs_converter
@long
def test_graphs_and_saved_models_against_tensorflow(tmp_path):
    agrees(tmp_path / "unet", DATA / "seg/unet_person/model.pb", "--compare")
    agrees(tmp_path / "kws", DATA / "audio/kws/saved_model", "--compare")
    python("import sys, tf_keras, tensorflow as tf\n"
           "tf.saved_model.save(tf_keras.models.load_model(sys.argv[1], compile=False), sys.argv[2])",
           DATA / RESNET / "pretrainedResnet.h5", tmp_path / "resnet8")
    agrees(tmp_path / "resnet8_package", tmp_path / "resnet8", "--compare")


@needs_data
@needs_converter
@long
def test_a_model_of_keras_3_and_given_samples(tmp_path):
    python("import sys, keras\n"
           "keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, activation='softmax')]).save(sys.argv[1])",
           tmp_path / "net.keras")
    numpy.save(tmp_path / "mine.npy", numpy.arange(4, dtype="float32"))
    agrees(tmp_path / "p", tmp_path / "net.keras", "--sample", tmp_path / "mine.npy")
    samples = json.loads((tmp_path / "p/golden/golden.json").read_text())["samples"]
    assert samples[0]["name"] == "mine.npy"
    numpy.save(tmp_path / "wrong.npy", numpy.arange(5, dtype="float32"))
    error = refused(tmp_path / "q", tmp_path / "net.keras", "--sample", tmp_path / "wrong.npy")
    assert "5 values" in error["message"]
