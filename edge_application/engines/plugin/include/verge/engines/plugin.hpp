// Plug-in side of the engine ABI in C++: failures as exceptions inside, statuses and messages at the boundary.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verge/engines/abi.h"

namespace verge::engines {

/// What a plug-in throws; at_boundary() turns it into a status and a message.
class Failure : public std::exception {
 public:
  Failure(verge_engine_status status, std::string message) : status_(status), message_(std::move(message)) {}
  [[nodiscard]] verge_engine_status status() const noexcept { return status_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  verge_engine_status status_;
  std::string message_;
};

/// Writes `message` into `error` (may be null), cut at a character of UTF-8 so that it fits.
inline void write_message(verge_engine_error* error, std::string_view message) noexcept {
  if (error == nullptr) return;
  std::size_t size = std::min(message.size(), sizeof(error->message) - 1);
  if (size < message.size()) {
    while (size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0U) == 0x80U) --size;
  }
  message.copy(error->message, size);
  error->message[size] = '\0';
}

/// The status of the exception that is being handled; its text is given to `report`.
template <typename Report>
verge_engine_status status_of_current_exception(Report&& report) noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    report(failure.what());
    return failure.status();
  } catch (const std::bad_alloc&) {
    report("out of memory");
    return VERGE_ENGINE_OUT_OF_MEMORY;
  } catch (const std::exception& exception) {
    report(exception.what());
    return VERGE_ENGINE_FAILED;
  } catch (...) {
    report("an exception of an unknown type");
    return VERGE_ENGINE_FAILED;
  }
}

/// Runs `function`; nothing it throws goes any further.
template <typename Function>
verge_engine_status at_boundary(verge_engine_error* error, Function&& function) noexcept {
  try {
    std::forward<Function>(function)();
    write_message(error, {});
    return VERGE_ENGINE_OK;
  } catch (...) {
    return status_of_current_exception([error](std::string_view text) { write_message(error, text); });
  }
}

/// A structure of the host as this plug-in knows it: what an older host does not have is zero.
template <typename T>
T received(const T* sent) {
  T known{};
  if (sent == nullptr || sent->struct_size == 0) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a structure without struct_size was passed");
  }
  std::memcpy(&known, sent, std::min(sent->struct_size, sizeof(T)));
  known.struct_size = sizeof(T);
  return known;
}

/// Fills the host's structure with as much of `value` as it has room for.
template <typename T>
void hand_out(const T& value, T* out) {
  if (out == nullptr || out->struct_size == 0) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a structure without struct_size was passed");
  }
  const std::size_t room = out->struct_size;
  std::memcpy(out, &value, std::min(room, sizeof(T)));
  out->struct_size = room;
}

/// Bytes of one element; 0 for BYTES.
inline std::size_t element_size_bytes(verge_engine_datatype datatype) noexcept {
  static constexpr std::array<std::size_t, 14> kSizes{1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 2, 0};
  const auto index = static_cast<std::size_t>(datatype);
  return index < kSizes.size() ? kSizes[index] : 0;
}

/// "[1,224,224,3]".
inline std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(shape[i]);
  return text + "]";
}

inline bool is_variable(std::span<const std::int64_t> shape) noexcept {
  return std::any_of(shape.begin(), shape.end(), [](std::int64_t dimension) { return dimension < 0; });
}

/// Bytes of a tensor. Throws Failure(INVALID_ARGUMENT) for a negative dimension or a product past 2^40.
inline std::size_t tensor_size_bytes(verge_engine_datatype datatype, std::span<const std::int64_t> shape) {
  constexpr std::size_t kLimitBytes = std::size_t{1} << 40U;
  std::size_t size = element_size_bytes(datatype);
  for (const std::int64_t dimension : shape) {
    const auto extent = static_cast<std::size_t>(dimension);
    if (dimension < 0 || (extent != 0 && size > kLimitBytes / extent)) {
      throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "a tensor cannot have the shape " + shape_text(shape));
    }
    size *= extent;
  }
  return size;
}

/// A tensor of a model as plug-ins keep it; `name` must outlive what describe() gives out.
struct TensorDescription {
  std::string name;
  verge_engine_datatype datatype = VERGE_ENGINE_FP32;
  std::vector<std::int64_t> shape;
  bool is_quantised = false;
  float scale = 0.0F;
  std::int32_t zero_point = 0;
};

/// Fills the ABI's fixed array. Throws Failure(UNSUPPORTED) when the rank does not fit.
inline void write_shape(std::span<const std::int64_t> shape, std::uint32_t& rank,
                        std::int64_t (&out)[VERGE_ENGINE_MAX_RANK]) {
  if (shape.size() > VERGE_ENGINE_MAX_RANK) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED,
                  "a tensor of shape " + shape_text(shape) + " has more than 8 dimensions, the most Verge handles");
  }
  rank = static_cast<std::uint32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), out);
}

inline void describe(const TensorDescription& tensor, verge_engine_tensor_info* out) {
  verge_engine_tensor_info info{};
  info.struct_size = sizeof(info);
  info.name = tensor.name.c_str();
  info.datatype = tensor.datatype;
  write_shape(tensor.shape, info.rank, info.shape);
  info.is_quantised = tensor.is_quantised ? 1 : 0;
  info.scale = tensor.scale;
  info.zero_point = tensor.zero_point;
  hand_out(info, out);
}

/// Gives the host memory of this process.
inline void give_host_memory(verge_engine_datatype datatype, std::span<const std::int64_t> shape, void* data,
                             std::size_t size_bytes, verge_engine_tensor* out) {
  verge_engine_tensor tensor{};
  tensor.struct_size = sizeof(tensor);
  tensor.datatype = datatype;
  write_shape(shape, tensor.rank, tensor.shape);
  tensor.memory = VERGE_ENGINE_HOST;
  tensor.data = data;
  tensor.size_bytes = size_bytes;
  hand_out(tensor, out);
}

/// Throws Failure(INVALID_ARGUMENT) unless index < count. `what` is "input" or "output".
inline void check_index(std::string_view what, std::uint32_t index, std::size_t count) {
  if (index < count) return;
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "the model has " + std::to_string(count) + " " + std::string(what) +
                                                   "s, there is no number " + std::to_string(index));
}

/// Throws Failure(INVALID_ARGUMENT) unless `shape` is positive and agrees with the model's `declared` one.
inline void check_shape(const TensorDescription& declared, std::span<const std::int64_t> shape) {
  bool fits = shape.size() == declared.shape.size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = declared.shape[i] < 0 ? shape[i] > 0 : shape[i] == declared.shape[i];
  }
  if (fits) return;
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "input '" + declared.name + "' has the shape " +
                                                   shape_text(declared.shape) + " (-1 is variable), got " +
                                                   shape_text(shape));
}

/// Throws Failure unless `tensor` is host memory of the type, the shape and the size that is expected.
inline void check_binding(const TensorDescription& declared, std::span<const std::int64_t> shape,
                          const verge_engine_tensor& tensor) {
  if (tensor.memory != VERGE_ENGINE_HOST) {
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "tensor '" + declared.name + "' can be bound to host memory only");
  }
  const std::span<const std::int64_t> given(tensor.shape, std::min<std::size_t>(tensor.rank, VERGE_ENGINE_MAX_RANK));
  const bool same =
      tensor.datatype == declared.datatype && std::equal(given.begin(), given.end(), shape.begin(), shape.end());
  if (!same || tensor.data == nullptr || tensor.size_bytes < tensor_size_bytes(declared.datatype, shape)) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT,
                  "memory for tensor '" + declared.name + "' needs its type, the shape " + shape_text(shape) + " and " +
                      std::to_string(tensor_size_bytes(declared.datatype, shape)) + " bytes; got " + shape_text(given) +
                      " and " + std::to_string(tensor.size_bytes) + " bytes");
  }
}

/// Shape with which a request begins: the declared one, a variable first dimension (the batch) being 1. Other variable
/// dimensions stay -1: such an input has no memory until the host sets its shape.
inline std::vector<std::int64_t> initial_shape(const TensorDescription& declared) {
  std::vector<std::int64_t> shape = declared.shape;
  if (!shape.empty() && shape.front() < 0) shape.front() = 1;
  return shape;
}

/// Throws Failure(INVALID_ARGUMENT) when the input still has a variable dimension.
inline void check_shape_is_set(const TensorDescription& declared, std::span<const std::int64_t> shape) {
  if (!is_variable(shape)) return;
  throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "input '" + declared.name + "' has the variable shape " +
                                                   shape_text(declared.shape) + ": set its shape first");
}

/// Throws Failure(UNSUPPORTED), naming the option, for one that is not among `known`.
inline void check_options(const verge_engine_load& load, std::string_view engine,
                          std::initializer_list<std::string_view> known) {
  for (std::size_t i = 0; i < load.option_count; ++i) {
    const std::string_view key = load.options[i].key;
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string list;
    for (const std::string_view name : known) list += (list.empty() ? "" : ", ") + std::string(name);
    throw Failure(VERGE_ENGINE_UNSUPPORTED, "engine '" + std::string(engine) + "' has no option '" + std::string(key) +
                                                "'; it has: " + (list.empty() ? "none" : list));
  }
}

/// Throws Failure(UNSUPPORTED) unless `format` is in the comma-separated list that the engine declares.
inline void check_format(const verge_engine_load& load, std::string_view engine, std::string_view formats) {
  if (load.format == nullptr || load.model_path == nullptr) {
    throw Failure(VERGE_ENGINE_INVALID_ARGUMENT, "model_path and format must be given");
  }
  const std::string list = "," + std::string(formats) + ",";
  const std::string_view format = load.format;
  if (!format.empty() && format.find(',') == std::string_view::npos &&
      list.find("," + std::string(format) + ",") != std::string::npos) {
    return;
  }
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "engine '" + std::string(engine) + "' does not read the format '" +
                                              std::string(format) + "'; it reads: " + std::string(formats));
}

/// Throws Failure(UNSUPPORTED) unless the device is the CPU (also when none is named).
inline void check_device_is_cpu(const verge_engine_load& load, std::string_view engine) {
  const std::string_view device = load.device == nullptr ? "" : load.device;
  if (device.empty() || device == "CPU") return;
  throw Failure(VERGE_ENGINE_UNSUPPORTED, "engine '" + std::string(engine) + "' runs on the device CPU only, not on '" +
                                              std::string(device) + "'");
}

/// Value of an option, empty when it was not given.
inline std::string_view option(const verge_engine_load& load, std::string_view key) noexcept {
  for (std::size_t i = 0; i < load.option_count; ++i) {
    if (load.options[i].key == key) return load.options[i].value == nullptr ? "" : load.options[i].value;
  }
  return {};
}

}  // namespace verge::engines
