// The part of LiteRT's C interface that Verge calls.
//
// The wheel ai-edge-litert 2.3.0 carries the runtime libLiteRt.so and no headers. These declarations were taken from
// github.com/google-ai-edge/LiteRT at f67457790c9c (version.bzl: 2.3.0), folder litert/c: litert_common.h,
// litert_environment.h, litert_environment_options.h, litert_any.h, litert_layout.h, litert_model_types.h,
// litert_model.h, litert_options.h, litert_opaque_options.h, litert_compiled_model.h, litert_tensor_buffer.h
// (Apache-2.0). Arguments moved between versions before, so the wheel is pinned in cmake/VergeEngines.cmake.
#pragma once

#include <cstddef>
#include <cstdint>

namespace verge::engines::litert {

// LiteRtStatus.
constexpr int kStatusOk = 0;
constexpr int kStatusMemoryAllocationFailure = 2;
constexpr int kStatusUnsupported = 5;
constexpr int kStatusCancelled = 100;
constexpr int kStatusInvalidFlatbuffer = 501;

// LiteRtHwAccelerators.
constexpr int kAcceleratorCpu = 1;

constexpr std::size_t kHostMemoryAlignment = 64;  // LITERT_HOST_MEMORY_BUFFER_ALIGNMENT

// Handles: LiteRtEnvironment and so on.
using Environment = struct EnvironmentT*;
using Model = struct ModelT*;
using Options = struct OptionsT*;
using OpaqueOptions = struct OpaqueOptionsT*;
using CompiledModel = struct CompiledModelT*;
using TensorBuffer = struct TensorBufferT*;

struct Layout {  // LiteRtLayout
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
static_assert(sizeof(Layout) == 68);

struct RankedTensorType {     // LiteRtRankedTensorType
  std::int32_t element_type;  // LiteRtElementType: TensorFlow Lite's TfLiteType
  Layout layout;
};
static_assert(sizeof(RankedTensorType) == 72);

struct EnvironmentOption {  // LiteRtEnvOption
  std::int32_t tag;         // LiteRtEnvOptionTag
  struct {                  // LiteRtAny
    std::int32_t type;
    std::int64_t value;
  } value;
};
static_assert(sizeof(EnvironmentOption) == 24);
constexpr std::int32_t kTagAutoRegisterAccelerators = 24;
constexpr std::int32_t kTagMinLoggerSeverity = 25;
constexpr std::int32_t kAnyTypeInt = 2;
constexpr std::int64_t kSeveritySilent = 4;  // LiteRtLogSeverity

/// The functions, in the order of their use.
struct Functions {
  int (*CreateEnvironment)(int option_count, const EnvironmentOption* options, Environment* environment);
  void (*DestroyEnvironment)(Environment environment);
  /// Verifies the flatbuffer and keeps the caller's memory, which must outlive the model.
  int (*CreateModelFromBuffer)(Environment environment, const void* buffer, std::size_t size, Model* model);
  void (*DestroyModel)(Model model);
  int (*CreateOptions)(Options* options);
  void (*DestroyOptions)(Options options);
  int (*SetOptionsHardwareAccelerators)(Options options, int accelerators);
  /// Takes `payload`, to be given to `destroy`.
  int (*CreateOpaqueOptions)(const char* identifier, void* payload, void (*destroy)(void*), OpaqueOptions* options);
  /// Takes `opaque`.
  int (*AddOpaqueOptions)(Options options, OpaqueOptions opaque);
  int (*CreateCompiledModel)(Environment environment, Model model, Options options, CompiledModel* compiled);
  void (*DestroyCompiledModel)(CompiledModel compiled);
  int (*CompiledModelResizeInputTensor)(CompiledModel compiled, std::size_t signature, std::size_t input,
                                        const int* dimensions, std::size_t rank);
  int (*GetCompiledModelOutputTensorLayouts)(CompiledModel compiled, std::size_t signature, std::size_t count,
                                             Layout* layouts, bool update_allocation);
  int (*SetCompiledModelCancellationFunction)(CompiledModel compiled, void* data, bool (*is_cancelled)(void*));
  int (*CreateTensorBufferFromHostMemory)(const RankedTensorType* type, void* memory, std::size_t size,
                                          void (*release)(void*), TensorBuffer* buffer);
  void (*DestroyTensorBuffer)(TensorBuffer buffer);
  int (*RunCompiledModel)(CompiledModel compiled, std::size_t signature, std::size_t input_count, TensorBuffer* inputs,
                          std::size_t output_count, TensorBuffer* outputs);
};

/// Loads libLiteRt.so once. Throws Failure(UNAVAILABLE) naming the library and what is missing; tried again next time.
const Functions& functions();
/// "runtime failure (3)" for a LiteRtStatus.
const char* status_text(int status) noexcept;

}  // namespace verge::engines::litert
