"""The installed library: the brief's two functions as ten-line programs, against the brief's own Python."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from conftest import BUILD, ROOT, photograph
from PIL import Image

HERE = pathlib.Path(__file__).parent
PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
# The brief's functions: resize with Pillow's default filter, divide by 255, predict; labels by argmax, or the map.
PREPROCESSING = """version: 1
sample: image
steps:
  - decode: {{ colour: rgb }}
  - resize: {{ width: {0}, height: {0}, interpolation: bicubic }}
  - normalise: {{ scale: 0.00392156862745098 }}
  - layout: nchw
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Folder of the two programs, built on an installed Verge."""
    prefix = os.environ.get("VERGE_INSTALLED")
    if not prefix:
        prefix = tmp_path_factory.mktemp("installed")
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    build = tmp_path_factory.mktemp("programs")
    subprocess.run(["cmake", "-S", HERE / "library_programs", "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", build], check=True, stdout=subprocess.DEVNULL)
    os.environ["VERGE_ENGINE_PATH"] = f"{prefix}/lib/verge/engines"
    yield build
    del os.environ["VERGE_ENGINE_PATH"]


def package(name, size, postprocessing, tmp_path):
    made = tmp_path / name
    shutil.copytree(ROOT / "models" / name, made, ignore=shutil.ignore_patterns("golden"))
    (made / "preprocessing/preprocessing.yaml").write_text(PREPROCESSING.format(size))
    (made / "postprocessing/postprocessing.yaml").write_text(postprocessing)
    return made


def predict(package_folder, image, size):
    """What the brief's Python does, with OpenVINO in place of Keras to run the same converted model."""
    import openvino
    model = openvino.Core().compile_model(str(package_folder / "model_files/model.onnx"), "CPU",
                                          {"INFERENCE_PRECISION_HINT": "f32"})
    img = Image.open(image).convert("RGB")
    img = img.resize((size, size))
    img = np.array(img) / 255.0
    return model(np.expand_dims(img, axis=0).transpose(0, 3, 1, 2).astype(np.float32))[0]


def test_perform_image_classification(programs, tmp_path):
    made = package("efficientnet_lite0", 224, "version: 1\nlabels: labels.txt\nsteps: [{ top_k: { k: 1 } }]\n", tmp_path)
    labels = (made / "postprocessing/labels.txt").read_text().splitlines()
    for name in PHOTOGRAPHS:
        expected = labels[np.argmax(predict(made, photograph(name), 224))]
        done = subprocess.run([programs / "classify", photograph(name), made], capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


def test_perform_image_segmentation(programs, tmp_path):
    made = package("unet_fashion", 256, "version: 1\nsteps: [{ segmentation: { method: argmax, layout: nchw, size: model } }]\n",
                   tmp_path)
    for name in PHOTOGRAPHS:
        expected = np.argmax(predict(made, photograph(name), 256)[0], axis=0)
        done = subprocess.run([programs / "segment", photograph(name), made, tmp_path / "mask.png"], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        found = np.asarray(Image.open(tmp_path / "mask.png"))
        assert found.shape == (256, 256) and np.mean(found == expected) > 0.99


def test_the_programs_have_ten_lines_of_code(programs):
    for name in ("classify.cpp", "segment.cpp"):
        code = [l for l in (HERE / "library_programs" / name).read_text().splitlines() if l.strip() and not l.startswith("//")]
        body = code[next(i for i, l in enumerate(code) if l.startswith("int main")):]
        assert len(body) <= 10
