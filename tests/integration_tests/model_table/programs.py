"""The programs under test, the packages they get and the pictures they look at."""

import csv
import http.client
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy
import yaml
from PIL import Image

DEFINITIONS = Path(__file__).parent / "packages"
LIMIT_S = 240


def source_of(name):
    """Model file, below the test data, of a package definition."""
    return json.loads((DEFINITIONS / name / "metadata.json").read_text())["source"]


def numbers(path, dtype):
    """Values of a raw file; "uint8 (cast to float32)" is kept in one type and meant as another."""
    kept, _, meant = dtype.partition(" (cast to ")
    values = numpy.fromfile(path, kept)
    return values.astype(meant.rstrip(")")) if meant else values


class Package:
    """A definition with the model file, labels and golden samples that test data give it."""

    def __init__(self, data, definition, folder, golden=(), replace=None, engine=None):
        self.folder = folder
        shutil.copytree(DEFINITIONS / definition, folder)
        if replace:
            file = folder / "preprocessing/preprocessing.yaml"
            text = file.read_text()
            assert replace["text"] in text, f"{definition}: '{replace['text']}' is not in its preprocessing"
            file.write_text(text.replace(replace["text"], replace["by"]))
        metadata = json.loads((folder / "metadata.json").read_text())
        if engine:
            metadata["engine"] = engine
            (folder / "metadata.json").write_text(json.dumps(metadata))
        self.name = metadata["name"]
        self.output_scale = metadata["outputs"][0].get("quantisation", {}).get("scale", 0.0)
        (folder / "model_files").mkdir()
        source, model = data / metadata["source"], folder / metadata["model"]["file"]
        (shutil.copytree if source.is_dir() else shutil.copy)(source, model)
        self.preprocessing = yaml.safe_load((folder / "preprocessing/preprocessing.yaml").read_text())
        self.postprocessing = yaml.safe_load((folder / "postprocessing/postprocessing.yaml").read_text())
        self.label_offset = self.postprocessing.get("label_offset", 0)
        if labels := self.postprocessing.get("labels"):
            shutil.copy(data / "labels" / labels, folder / "postprocessing" / labels)
        if golden:
            self._write_golden(data, golden)

    def _write_golden(self, data, samples):
        folder = self.folder / "golden"
        folder.mkdir()
        written = []
        for number, sample in enumerate(samples):
            def keep(entry, name):
                numbers(data / entry["file"], entry["dtype"]).tofile(folder / name)
                return name

            entry = {"name": f"sample {number}", "tolerance": sample["tolerance"],
                     "tensors": [keep(sample["input"], f"{number}.in.bin")]}
            if sample["outputs"]:
                entry["outputs"] = [keep(o, f"{number}.out{i}.bin") for i, o in enumerate(sample["outputs"])]
            else:
                mask = numpy.array(Image.open(data / sample["mask"]["file"])) > 0
                Image.fromarray((mask * sample["mask"]["class"]).astype("uint8")).save(folder / f"{number}.png")
                entry["mask"] = {"file": f"{number}.png", "min_iou": sample["mask"]["min_iou"]}
            written.append(entry)
        (folder / "golden.json").write_text(json.dumps({"version": 1, "samples": written}))


class Pictures:
    """Data sets as folders of pictures, with the label-file line of each picture's truth."""

    def __init__(self, data, folder):
        self.data, self.folder = data, folder
        self._sets = {}
        self._makers = {"eval/imagenet200": self._imagenet, "eval/cifar10_test1000.bin": self._cifar,
                        "eval/mnist/test1k": self._mnist}

    def data_set(self, name):
        """(folder, {file: line})"""
        if name not in self._sets:
            self._sets[name] = self._makers[name](self.folder / re.sub(r"\W", "_", name))
        return self._sets[name]

    def of(self, files):
        """A folder that shows these pictures and no others; they have different names."""
        folder = self.folder / f"{abs(hash(tuple(files))):x}"
        if not folder.exists():
            folder.mkdir()
            for file in files:
                (folder / Path(file).name).symlink_to(self.data / file)
        return folder

    def _imagenet(self, _):
        folder = self.data / "eval/imagenet200"
        with open(folder / "labels.csv", newline="") as file:
            return folder, {row["file"]: int(row["index_in_1001"]) for row in csv.DictReader(file)}

    def _cifar(self, folder):
        records = numpy.fromfile(self.data / "eval/cifar10_test1000.bin", "uint8").reshape(-1, 3073)
        pictures = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return self._write(folder, pictures, records[:, 0])

    def _mnist(self, folder):
        pictures = numpy.fromfile(self.data / "eval/mnist/test1k-images-idx3-ubyte", "uint8", offset=16)
        labels = numpy.fromfile(self.data / "eval/mnist/test1k-labels-idx1-ubyte", "uint8", offset=8)
        return self._write(folder, pictures.reshape(-1, 28, 28), labels)

    @staticmethod
    def _write(folder, pictures, labels):
        folder.mkdir()
        truth = {}
        for number, (picture, label) in enumerate(zip(pictures, labels)):
            Image.fromarray(numpy.ascontiguousarray(picture)).save(folder / f"{number:04}.png", compress_level=1)
            truth[f"{number:04}.png"] = int(label)
        return folder, truth


class Verge:
    """The `verge` program with one package on one engine. What was asked for once is not run again."""

    def __init__(self, build, package, engine):
        self.build, self.package, self.engine = build, package, engine
        self._answers = {}

    def call(self, *arguments):
        """Exit status, standard output, standard error."""
        done = subprocess.run([self.build / "bin/verge", *map(str, arguments)], capture_output=True, text=True,
                              timeout=LIMIT_S, check=False)
        return done.returncode, done.stdout, done.stderr

    def verify(self):
        return self.call("package", "verify", self.package.folder, "--engine", self.engine, "--output", "json")

    def predictions(self, option, path):
        """The JSON lines of a run over a folder or a video."""
        if path not in self._answers:
            status, out, errors = self.call("run", self.package.folder, option, path, "--engine", self.engine,
                                            "--output", "json")
            assert status == 0, errors
            lines = [json.loads(line) for line in out.splitlines()]
            assert lines and all(line["engine"] == self.engine for line in lines)
            self._answers[path] = lines
        return self._answers[path]

    def by_name(self, folder):
        return {line["source"]: line for line in self.predictions("--folder", folder)}

    def masks(self, folder):
        """Class numbers, at the size of the picture, by the picture's name without its ending."""
        if folder not in self._answers:
            target = self.package.folder.parent / "masks" / f"{len(self._answers)}"
            target.mkdir(parents=True)
            status, _, errors = self.call("run", self.package.folder, "--folder", folder, "--engine", self.engine,
                                          "--output", "image", "--directory", target)
            assert status == 0, errors
            end = f".{self.package.name}.mask.png"
            self._answers[folder] = {file.name.removesuffix(end): numpy.array(Image.open(file))
                                     for file in target.glob("*" + end)}
        return self._answers[folder]


class Agent:
    """A `verge-agent` that serves one package; a context manager."""

    def __init__(self, build, package):
        self.build, self.package = build, package

    def __enter__(self):
        folder = self.package.folder.parent / "agent"
        folder.mkdir()
        (folder / "edge_config.yaml").write_text(json.dumps({
            "version": 1, "state_directory": "state", "api": {"address": "127.0.0.1", "port": 0},
            "models": [{"package": str(self.package.folder)}]}))
        self.process = subprocess.Popen([self.build / "bin/verge-agent", "--config", folder / "edge_config.yaml"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        watchdog = threading.Timer(LIMIT_S, self.process.kill)
        watchdog.start()
        said, ready = "", None
        while ready is None and (line := self.process.stdout.readline()):
            said += line
            ready = re.search(r"ready .*url=http://([\d.]+):(\d+)", line)
        watchdog.cancel()
        if ready is None:
            self.process.wait()
            raise AssertionError(f"the agent did not start: {said}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.connection = http.client.HTTPConnection(ready[1], int(ready[2]), timeout=LIMIT_S)
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.terminate()
        self.process.wait(LIMIT_S)

    def predict(self, values):
        """The prediction for raw values: float32 where the package has steps for them, else as they are."""
        body = (values.astype("float32") if self.package.preprocessing["steps"] else values).tobytes()
        self.connection.request("POST", f"/v2/models/{self.package.name}/predict", body)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)
