// Deltas in memory, and tensors to make them of.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "verge/delta/delta.hpp"

namespace verge::delta::test {

using Buffer = std::vector<std::byte>;
using model_file::ElementKind;

inline Source source_of(const Buffer& bytes) {
  Source source;
  source.size_bytes = bytes.size();
  source.read = [&bytes](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
    if (offset > bytes.size() || into.size() > bytes.size() - offset) {
      return Error(ErrorCode::out_of_range, "VRG-TST-001", "past the end");
    }
    if (!into.empty()) std::memcpy(into.data(), bytes.data() + offset, into.size());
    return {};
  };
  return source;
}

inline Result<Buffer> applied(const Buffer& old, const Buffer& delta) {
  Buffer fresh;
  VERGE_TRY(apply(source_of(old), source_of(delta), [&](std::span<const std::byte> piece) -> Result<void> {
    EXPECT_LE(piece.size(), kPiece_bytes);
    fresh.insert(fresh.end(), piece.begin(), piece.end());
    return {};
  }));
  return fresh;
}

inline Buffer make_or_fail(const Content& old, const Content& fresh) {
  auto delta = make(old, fresh);
  EXPECT_TRUE(delta) << (delta ? "" : delta.error().text());
  return delta ? *delta : Buffer();
}

/// Makes, applies and compares; gives the delta.
inline Buffer round_trip(const Content& old, const Content& fresh) {
  const Buffer before(old.bytes.begin(), old.bytes.end());
  const auto delta = make_or_fail(old, fresh);
  const auto got = applied(before, delta);
  EXPECT_TRUE(got) << (got ? "" : got.error().text());
  EXPECT_TRUE(got && std::ranges::equal(*got, fresh.bytes)) << "another file came out";
  return delta;
}

template <typename T>
Buffer bytes_of(const std::vector<T>& values) {
  Buffer bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline Buffer random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Buffer bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 255U);
  return bytes;
}

inline std::vector<float> weights(std::size_t count, unsigned seed, float scale = 0.1F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (auto& value : values) value = normal(random);
  return values;
}

/// As a step of training leaves them.
inline std::vector<float> trained(std::vector<float> values, unsigned seed, float step = 1e-4F) {
  const auto steps = weights(values.size(), seed, step);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += steps[i];
  return values;
}

inline Content with_one_tensor(const Buffer& bytes, ElementKind kind, std::uint64_t offset = 0) {
  return {bytes,
          {{"w", kind, offset, (bytes.size() - offset) / model_file::size_bytes(kind) * model_file::size_bytes(kind)}}};
}

}  // namespace verge::delta::test
