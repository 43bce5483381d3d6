"""`verge delta`: what it writes, what it refuses, and real models of every format that it knows."""

import json
import random

import numpy as np
import pytest
from conftest import verge


def make(*arguments, **options):
    return verge("delta", *arguments, **options)


@pytest.fixture
def pair(tmp_path):
    """Two files of floats, the second trained on from the first."""
    numbers = np.random.default_rng(3).normal(0, 0.1, 200_000).astype(np.float32)
    old, new = tmp_path / "old.bin", tmp_path / "new.bin"
    old.write_bytes(numbers.tobytes())
    new.write_bytes((numbers + np.random.default_rng(4).normal(0, 1e-4, numbers.size).astype(np.float32)).tobytes())
    return old, new


def test_a_delta_gives_the_new_file_back_and_says_what_it_is_for(pair, tmp_path):
    old, new = pair
    delta, got = tmp_path / "delta", tmp_path / "got.bin"
    said = json.loads(make("create", old, new, delta, "--output", "json").stdout)
    assert said["new_size_bytes"] == new.stat().st_size and said["delta_size_bytes"] == delta.stat().st_size
    assert said["delta_size_bytes"] < 0.75 * said["new_size_bytes"]
    assert json.loads(make("inspect", delta, "--output", "json").stdout) == said
    assert "% of the new file" in make("inspect", delta).stdout
    make("apply", old, delta, got)
    assert got.read_bytes() == new.read_bytes()


def test_the_description_of_an_ir_tells_where_its_weights_have_gone(pair, tmp_path):
    old, new = pair
    half = old.stat().st_size // 2
    content = new.read_bytes()
    new.write_bytes(content[half:] + content[:half])
    without = json.loads(make("create", old, new, tmp_path / "plain", "--output", "json").stdout)
    for file, places in ((old, (0, half)), (new, (half, 0))):
        layers = "".join(f'<layer id="{i}" name="w{i}" type="Const"><data element_type="f32" offset="{at}" size="{half}"/></layer>'
                         for i, at in enumerate(places))
        file.with_suffix(".xml").write_text(f"<net><layers>{layers}</layers></net>")
    told = json.loads(make("create", old, new, tmp_path / "told", "--output", "json").stdout)
    assert told["delta_size_bytes"] < 0.85 * without["delta_size_bytes"]
    make("apply", old, tmp_path / "told", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == new.read_bytes()


def test_what_is_wrong_is_said_and_nothing_is_written(pair, tmp_path):
    old, new = pair
    delta, got = tmp_path / "delta", tmp_path / "got"
    make("create", old, new, delta)
    cases = [((new.with_name("absent"), delta, got), "VRG-DLT-005"), ((old, old, got), "VRG-DLT-002"),
             ((new, delta, got), "VRG-DLT-004"), ((delta, delta, got), "VRG-DLT-003"),
             ((old, delta, tmp_path / "no" / "folder"), "VRG-CLI-019")]
    cut = tmp_path / "cut"
    cut.write_bytes(delta.read_bytes()[:-1])
    cases.append(((old, cut, got), "VRG-DLT-00"))
    for arguments, said in cases:
        done = make("apply", *arguments, check=False)
        assert done.returncode != 0 and said in done.stderr, done.stderr
        assert not got.exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ("cls/mobilenet_v1_0.25_224_float.onnx", "cls/mobilenet_v1_0.25_224_float.tflite",
                                  "cls/efficientnet_lite0/efficientnet_lite0_int8.pte", "seg/slimnet/slim_reshape.h5"))
def test_real_models_with_some_changed_bytes(data, name, tmp_path):
    old = data / "models" / name
    content = bytearray(old.read_bytes())
    chance = random.Random(1)
    for _ in range(50):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    new = tmp_path / old.name
    new.write_bytes(content)
    make("create", old, new, tmp_path / "delta")
    make("apply", old, tmp_path / "delta", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == new.read_bytes()
    assert (tmp_path / "delta").stat().st_size < 0.02 * len(content)
