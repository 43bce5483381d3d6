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

/// Puts a SavedModel folder in the place of the sample's model file.
inline void make_saved_model(const std::filesystem::path& folder) {
  std::filesystem::remove(folder / "model_files/model.fake");
  auto text = metadata();
  text.replace(text.find("model_files/model.fake"), 22, "model_files/net");
  text.replace(text.find("\"fake\""), 6, "\"tensorflow\"");
  put(folder / "metadata.json", text);
  put(folder / "model_files/net/saved_model.pb", "graph");
  put(folder / "model_files/net/variables/variables.index", "index");
}

}  // namespace verge::package::test
