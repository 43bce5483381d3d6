// A small whole package, to be damaged by tests.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "verge/base/file.hpp"

namespace verge::package::test {

inline void put(const std::filesystem::path& path, std::string_view text) {
  ASSERT_TRUE(write_file(path, text));
}

inline std::string metadata(std::string_view version = "1.0.0") {
  return R"({"schema_version": 1, "name": "sample", "version": ")" + std::string(version) + R"(", "task": "tensor",
 "licence": "MIT", "authors": ["A"], "source": "here", "description": "d",
 "model": {"file": "model_files/model.fake", "format": "fake"},
 "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
 "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4]}]})";
}

/// Writes the package into `folder`.
inline void make_sample(const std::filesystem::path& folder, std::string_view version = "1.0.0") {
  put(folder / "metadata.json", metadata(version));
  put(folder / "model_card.md", "# Sample\n");
  put(folder / "model_files/model.fake", "model bytes");
  put(folder / "preprocessing/preprocessing.yaml", "version: 1\nsample: tensor\nsteps: []\n");
  put(folder / "postprocessing/postprocessing.yaml", "version: 1\nlabels: labels.txt\nsteps: []\n");
  put(folder / "postprocessing/labels.txt", "one\r\ntwo\nthree");
  put(folder / "golden/golden.json",
      R"({"version": 1, "samples": [{"name": "s", "tensors": ["in.bin"], "outputs": ["out.bin"]}]})");
  put(folder / "golden/in.bin", "0123456789abcdef");
  put(folder / "golden/out.bin", "0123456789abcdef");
}

}  // namespace verge::package::test
