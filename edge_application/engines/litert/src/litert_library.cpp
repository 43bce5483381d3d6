#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>

#include <dlfcn.h>

#include "litert_api.hpp"
#include "verge/engines/plugin.hpp"

namespace verge::engines::litert {
namespace {

template <typename Function>
void find(void* library, const char* name, Function& function) {
  void* symbol = ::dlsym(library, name);
  if (symbol == nullptr) {
    throw Failure(VERGE_ENGINE_UNAVAILABLE, std::string("engine 'litert' is not usable: libLiteRt.so lacks ") + name +
                                                "; it must be version " VERGE_LITERT_VERSION
                                                " (PyPI ai-edge-litert==" VERGE_LITERT_VERSION ")");
  }
  function = reinterpret_cast<Function>(symbol);
}

/// The library in ../vendor beside the plug-in's folder, where the build and the installation put it; else wherever the
/// system's loader finds one. By path and not by a run path, which the sanitizers' dlopen() does not follow.
void* open_library() {
  Dl_info plugin{};
  if (::dladdr(reinterpret_cast<const void*>(&open_library), &plugin) != 0 && plugin.dli_fname != nullptr) {
    const std::filesystem::path folder = std::filesystem::path(plugin.dli_fname).parent_path();
    const std::filesystem::path beside = folder / "../vendor/libLiteRt.so";
    std::error_code error;
    if (std::filesystem::exists(beside, error)) return ::dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  return ::dlopen("libLiteRt.so", RTLD_NOW | RTLD_LOCAL);
}

Functions load() {
  void* library = open_library();
  if (library == nullptr) {
    const char* reason = ::dlerror();
    throw Failure(VERGE_ENGINE_UNAVAILABLE,
                  std::string("engine 'litert' is not usable: libLiteRt.so was not found (") +
                      (reason == nullptr ? "unknown reason" : reason) +
                      "); install the component engine_litert, or PyPI ai-edge-litert==" VERGE_LITERT_VERSION);
  }
  Functions found{};
  find(library, "LiteRtCreateEnvironment", found.CreateEnvironment);
  find(library, "LiteRtDestroyEnvironment", found.DestroyEnvironment);
  find(library, "LiteRtCreateModelFromBuffer", found.CreateModelFromBuffer);
  find(library, "LiteRtDestroyModel", found.DestroyModel);
  find(library, "LiteRtCreateOptions", found.CreateOptions);
  find(library, "LiteRtDestroyOptions", found.DestroyOptions);
  find(library, "LiteRtSetOptionsHardwareAccelerators", found.SetOptionsHardwareAccelerators);
  find(library, "LiteRtCreateOpaqueOptions", found.CreateOpaqueOptions);
  find(library, "LiteRtAddOpaqueOptions", found.AddOpaqueOptions);
  find(library, "LiteRtCreateCompiledModel", found.CreateCompiledModel);
  find(library, "LiteRtDestroyCompiledModel", found.DestroyCompiledModel);
  find(library, "LiteRtCompiledModelResizeInputTensor", found.CompiledModelResizeInputTensor);
  find(library, "LiteRtGetCompiledModelOutputTensorLayouts", found.GetCompiledModelOutputTensorLayouts);
  find(library, "LiteRtSetCompiledModelCancellationFunction", found.SetCompiledModelCancellationFunction);
  find(library, "LiteRtCreateTensorBufferFromHostMemory", found.CreateTensorBufferFromHostMemory);
  find(library, "LiteRtDestroyTensorBuffer", found.DestroyTensorBuffer);
  find(library, "LiteRtRunCompiledModel", found.RunCompiledModel);
  // Arguments of functions cannot be probed. This one came with 2.3, so that an older library is not taken for it.
  void* marker = nullptr;
  find(library, "LiteRtSetAcceleratorGetHooks", marker);
  return found;
}

}  // namespace

const Functions& functions() {
  static std::mutex mutex;
  static Functions loaded{};
  static bool is_loaded = false;
  const std::lock_guard lock(mutex);
  if (!is_loaded) {
    loaded = load();
    is_loaded = true;
  }
  return loaded;
}

const char* status_text(int status) noexcept {
  switch (status) {
    case 1: return "invalid argument (1)";
    case 2: return "no memory (2)";
    case 3: return "runtime failure (3)";
    case 4: return "missing input tensor (4)";
    case 5: return "unsupported (5)";
    case 6: return "not found (6)";
    case 8: return "wrong version (8)";
    case 100: return "cancelled (100)";
    case 500: return "file cannot be read (500)";
    case 501: return "invalid flatbuffer (501)";
    case 504: return "compilation failed (504)";
    case 1000: return "index out of bounds (1000)";
    case 1001: return "invalid type (1001)";
    default: return "unknown failure";
  }
}

}  // namespace verge::engines::litert
