"""Sound, table rows and anomalies: real models, against the same computed with NumPy and LiteRT's own interpreter."""
import json
import shutil
import wave

import numpy as np
import pytest

from conftest import DATA, verge

pytestmark = pytest.mark.usefixtures("data")

KWS_STEPS = """version: 1
sample: audio
steps:
  - audio: { sample_rate: 16000, duration_ms: 1000, peak_normalise: true }
  - spectrogram: { window: 480, stride: 320 }
  - mel: { bands: 40, low_hz: 20, high_hz: 4000 }
  - log: { floor: 0, offset: 0.000001 }
  - dct: { coefficients: 10 }
"""


def tensor(name, shape):
    return {"name": name, "datatype": "FP32", "shape": shape}


def quantised(side, model, name):
    """The tensor of a quantised model, as expected.json tells it."""
    models = json.loads((DATA / "expected.json").read_text())["models"]
    described = next(entry for entry in models if entry["file"] == model)[side][0]
    return {"name": name, "datatype": described["dtype"].upper(), "shape": described["shape"],
            "quantisation": {"scale": described["scale"], "zero_point": described["zero_point"]}}


def write_package(folder, model, task, inputs, outputs, preprocessing, postprocessing, labels=None, golden=None, files={}):
    """A package folder around one of the shared models."""
    for part in ("model_files", "preprocessing", "postprocessing", "golden"):
        (folder / part).mkdir(parents=True)
    shutil.copy(DATA / model, folder / "model_files")
    metadata = {"schema_version": 1, "name": folder.name, "version": "1.0.0", "task": task, "inputs": inputs,
                "outputs": outputs, "model": {"file": "model_files/" + model.rsplit("/", 1)[1], "format": "tflite"}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "preprocessing" / "preprocessing.yaml").write_text(preprocessing)
    (folder / "postprocessing" / "postprocessing.yaml").write_text(postprocessing)
    if labels:
        shutil.copy(DATA / labels, folder / "postprocessing" / "labels.txt")
    for name, content in files.items():
        (folder / "golden" / name).write_bytes(content)
    if golden:
        (folder / "golden" / "golden.json").write_text(json.dumps({"version": 1, "samples": golden}))
    return folder


def refused(package, sample):
    done = verge("run", package, "--sample", sample, check=False)
    assert done.returncode != 0
    return done.stderr


def run(package, sample):
    return json.loads(verge("run", package, "--sample", sample, "--output", "json").stdout.splitlines()[-1])


def samples_of(path):
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16).astype(np.float32) / 32768


def mfcc(samples):
    """As MLPerf Tiny prepares keyword spotting, written with NumPy."""
    samples = np.pad(samples, (0, max(0, 16000 - len(samples))))[:16000]
    samples = samples / np.abs(samples).max()
    frames = np.stack([samples[i:i + 480] for i in range(0, 16000 - 480 + 1, 320)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    spectrum = np.abs(np.fft.rfft(frames * window, 512))
    to_mel = lambda hz: 1127 * np.log1p(hz / 700)
    edges = np.linspace(to_mel(20), to_mel(4000), 42)
    bins = to_mel(np.arange(257) * 8000 / 256)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    filters[0] = 0
    log_mel = np.log(spectrum @ filters + 1e-6)
    cosines = np.cos(np.pi / 40 * np.arange(10)[:, None] * (np.arange(40) + 0.5))
    return (np.sqrt(2 / 40) * log_mel @ cosines.T).astype(np.float32)


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("kws") / "kws", "models/audio/kws/kws_ref_model_float32.tflite",
                         "classification", [tensor("input_1", [1, 49, 10, 1])], [tensor("Identity", [1, 12])], KWS_STEPS,
                         "version: 1\nlabels: labels.txt\nsteps:\n  - top_k: { k: 12 }\n", "labels/kws_mlperf.txt")


@pytest.mark.parametrize("sound", ["yes", "no", "silence", "noise"])
def test_keyword_spotting_is_as_numpy_and_litert_have_it(keywords, sound):
    from ai_edge_litert.interpreter import Interpreter
    path = DATA / "audio" / f"{sound}_1000ms.wav"
    reference = Interpreter(str(DATA / "models/audio/kws/kws_ref_model_float32.tflite"))
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], mfcc(samples_of(path)).reshape(1, 49, 10, 1))
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])[0]
    got = run(keywords, path)
    scores = {entry["class"]: entry["score"] for entry in got["classes"]}
    assert got["classes"][0]["class"] == int(expected.argmax())
    assert max(abs(scores[i] - expected[i]) for i in range(12)) < 2e-3
    if sound in ("yes", "silence"):
        assert got["classes"][0]["label"] == sound


def test_a_sound_of_another_rate_and_with_two_channels_says_the_same(keywords, tmp_path):
    samples = samples_of(DATA / "audio" / "yes_1000ms.wav")
    # Three times the rate by zeros in a spectrum that is empty above: what a recorder at 48 kHz would have given.
    spectrum = np.fft.rfft(samples)
    wide = np.fft.irfft(np.concatenate([spectrum, np.zeros(len(samples))]), 3 * len(samples)) * 3
    stereo = np.repeat((wide * 32767).clip(-32768, 32767).astype(np.int16)[:, None], 2, axis=1)
    with wave.open(str(tmp_path / "yes.wav"), "wb") as sound:
        sound.setnchannels(2), sound.setsampwidth(2), sound.setframerate(48000)
        sound.writeframes(stereo.tobytes())
    best = run(keywords, tmp_path / "yes.wav")["classes"][0]
    assert best["label"] == "yes" and best["score"] > 0.98


def test_sounds_that_are_none_are_refused_with_what_to_do(keywords, tmp_path):
    whole = (DATA / "audio" / "yes_1000ms.wav").read_bytes()
    for content, message in [(b"ID3\x04mp3", "expected a WAV file"), (whole[:2000], "ends early: expected 32000 bytes"),
                             (whole[:30], "a file without sound"), (b"", "expected a WAV file")]:
        (tmp_path / "sound.wav").write_bytes(content)
        assert message in refused(keywords, tmp_path / "sound.wav")


@pytest.mark.parametrize("model, datatype, error, reversed_error, tolerance", [
    ("ad01_fp32", "FP32", 9.7071, 172.1601, 0.001), ("ad01_int8", "INT8", 10.2652, 204.6659, 0.01)])
def test_anomalies_are_found_by_their_reconstruction_error(tmp_path, model, datatype, error, reversed_error, tolerance):
    normal = (DATA / "audio/ad01_normal_id_01_00000000_hist_librosa.f32.bin").read_bytes()
    odd = np.frombuffer(normal, np.float32).reshape(200, 128)[::-1, ::-1].tobytes()
    file = f"models/tabular/ad01/{model}.tflite"
    real = [tensor("input_1", [1, 640])], [tensor("Identity", [1, 640])]
    inputs, outputs = real if datatype == "FP32" else ([quantised("inputs", file, "input_1")],
                                                       [quantised("outputs", file, "Identity")])
    quantise = "  - quantise:\n" if datatype == "INT8" else ""
    allowed = {"absolute": 0, "relative": tolerance}
    package = write_package(
        tmp_path / model.replace("_", "-"), file, "anomaly", inputs, outputs,
        "version: 1\nsample: tensor\nsteps:\n  - windows: { rows: 5 }\n" + quantise,
        "version: 1\nsteps:\n  - reconstruction_error: { threshold: 20 }\n",
        golden=[{"name": "normal", "sample": "normal.bin", "error": error, "tolerance": allowed},
                {"name": "odd", "sample": "odd.bin", "error": reversed_error, "tolerance": allowed}],
        files={"normal.bin": normal, "odd.bin": odd})
    assert "2 golden samples right" in verge("package", "verify", package).stdout
    assert run(package, package / "golden/normal.bin")["anomaly"]["found"] is False
    found = run(package, package / "golden/odd.bin")["anomaly"]
    assert found["found"] is True and found["windows"] == 196
    (tmp_path / "short.bin").write_bytes(normal[:4 * 128 * 4])
    assert "at least 5 rows of 128 values" in refused(package, tmp_path / "short.bin")


SINE = {0.0: 0.02641, 0.5: 0.45399, 1.0: 0.86304, 1.5707964: 0.99567, 3.1415927: -0.00499, 5.0: -0.95652}


@pytest.mark.parametrize("write", [lambda x: f'{{"x": {x}, "other": "?"}}', lambda x: f"[{x}]", lambda x: f"other,x\n?,{x}\n"],
                         ids=["object", "array", "csv"])
def test_rows_of_a_table_give_named_values(tmp_path, write):
    package = write_package(tmp_path / "sine", "models/tabular/hello_world_float.tflite", "regression",
                            [tensor("x", [1, 1])], [tensor("y", [1, 1])],
                            "version: 1\nsample: table\nsteps:\n  - columns: [{ name: x }]\n",
                            "version: 1\nsteps:\n  - values: { names: [sine] }\n")
    for x, y in SINE.items():
        (tmp_path / "row").write_text(write(x))
        assert run(package, tmp_path / "row")["values"]["sine"] == pytest.approx(y, abs=2e-4)
    (tmp_path / "row").write_text('{"X": 1}')
    assert "expected a column 'x', got a row without it; did you mean it by 'X'?" in refused(package, tmp_path / "row")
