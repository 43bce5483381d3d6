"""cmake/VergeModule.cmake refuses what would spoil the layers."""

import subprocess

import pytest
from conftest import ROOT

HEAD = f"""cmake_minimum_required(VERSION 3.25)
project(Layers CXX)
set(CMAKE_CXX_STANDARD 20)
add_library(verge_flags INTERFACE)
list(APPEND CMAKE_MODULE_PATH "{ROOT}/cmake")
include(VergeModule)
"""


def project(folder, modules):
    """A project with a folder for each module: {name: (layer, links, header text)}."""
    lists = HEAD
    for name, (layer, links, header) in modules.items():
        include = folder / name / "include" / "verge" / name
        include.mkdir(parents=True)
        (include / f"{name}.hpp").write_text("#pragma once\n" + header)
        (folder / name / f"{name}.cpp").write_text(f'#include "verge/{name}/{name}.hpp"\nint {name}() {{ return 0; }}\n')
        (folder / name / "CMakeLists.txt").write_text(
            f"verge_module({name} LAYER {layer} SOURCES {name}.cpp PUBLIC_LINKS {' '.join('Verge::' + l for l in links)})\n")
        lists += f"add_subdirectory({name})\n"
    (folder / "CMakeLists.txt").write_text(lists)
    return subprocess.run(["cmake", "-S", folder, "-B", folder / "build", "-G", "Ninja"], capture_output=True, text=True)


def test_downward_links_are_fine(tmp_path):
    made = project(tmp_path, {"low": (0, [], ""), "high": (1, ["low"], "#include \"verge/low/low.hpp\"\n")})
    assert made.returncode == 0, made.stderr
    built = subprocess.run(["ninja", "-C", tmp_path / "build", "all", "all_verify_interface_header_sets"],
                           capture_output=True, text=True)
    assert built.returncode == 0, built.stdout


@pytest.mark.parametrize("layers", [(0, 1), (1, 1)])
def test_a_link_upwards_or_sideways_names_both_modules(tmp_path, layers):
    made = project(tmp_path, {"one": (layers[0], ["two"], ""), "two": (layers[1], [], "")})
    assert made.returncode != 0
    assert "Forbidden link" in made.stderr and "verge_one" in made.stderr and "verge_two" in made.stderr


def test_a_cycle_is_refused(tmp_path):
    made = project(tmp_path, {"one": (0, ["two"], ""), "two": (1, ["one"], "")})
    assert made.returncode != 0 and ("Forbidden link" in made.stderr or "cyclic" in made.stderr.lower())


def test_a_header_that_needs_another_fails_the_build(tmp_path):
    made = project(tmp_path, {"low": (0, [], "struct Needs { std::string text; };\n")})
    assert made.returncode == 0, made.stderr
    built = subprocess.run(["ninja", "-C", tmp_path / "build", "all_verify_interface_header_sets"], capture_output=True,
                           text=True)
    assert built.returncode != 0 and "string" in built.stdout


def test_unknown_words_are_refused(tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(HEAD + "verge_module(x LAYER zero SOURCES a.cpp)\n")
    made = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build"], capture_output=True, text=True)
    assert made.returncode != 0 and "LAYER must be a number" in made.stderr
