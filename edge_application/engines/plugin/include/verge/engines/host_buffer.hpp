// HostBuffer: memory of a tensor that an engine owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "verge/engines/plugin.hpp"

namespace verge::engines {

/// Zeroed memory, aligned to 64 bytes, with a tensor's shape; or memory of the host that was bound in its place.
class HostBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  /// Makes memory for the shape; nothing while a dimension is variable. What was bound is forgotten.
  void allocate(verge_engine_datatype type, std::span<const std::int64_t> shape) {
    shape_.assign(shape.begin(), shape.end());
    own_.reset();
    data_ = nullptr;
    size_bytes_ = 0;
    if (is_variable(shape)) return;
    size_bytes_ = tensor_size_bytes(type, shape);
    // Vectorised kernels read up to a register past the end.
    own_.reset(new (std::align_val_t{kAlignment}) std::byte[size_bytes_ + kAlignment]());
    data_ = own_.get();
  }
  /// Uses the host's memory from now on; the caller has checked it.
  void bind(void* data) noexcept { data_ = static_cast<std::byte*>(data); }

  [[nodiscard]] std::span<const std::int64_t> shape() const noexcept { return shape_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

  void give(verge_engine_datatype type, verge_engine_tensor* out) const {
    if (data_ == nullptr) {
      throw Failure(VERGE_ENGINE_INVALID_ARGUMENT,
                    "the tensor has a variable shape and no memory yet: set the shapes "
                    "of the inputs first");
    }
    give_host_memory(type, shape_, data_, size_bytes_, out);
  }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept { ::operator delete[](data, std::align_val_t{kAlignment}); }
  };
  std::vector<std::int64_t> shape_;
  std::unique_ptr<std::byte[], Free> own_;
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace verge::engines
