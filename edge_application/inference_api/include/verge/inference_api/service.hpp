// Service: what both protocols, HTTP and gRPC, answer from.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verge/base/error.hpp"
#include "verge/inference_api/model_repository.hpp"
#include "verge/inference_api/shared_memory.hpp"

namespace verge::inference_api {

/// Takes models out of service and back. Thread-safe.
class ModelControl {
 public:
  virtual ~ModelControl() = default;
  /// Returns when the model serves; loading one that serves does nothing. Errors: not_found (VRG-API-001),
  /// failed_precondition (VRG-API-041 switched off; 042 the model belongs to an application of the hub), those of
  /// loading.
  virtual Result<void> load(const std::string& name) = 0;
  virtual Result<void> unload(const std::string& name) = 0;
  /// Names of those that could be loaded but are not.
  [[nodiscard]] virtual std::vector<std::string> unloaded() const = 0;

 protected:
  ModelControl() = default;
  ModelControl(const ModelControl&) = default;
  ModelControl& operator=(const ModelControl&) = default;
};

/// One line of the repository's index.
struct IndexEntry {
  std::string name;
  std::string version;
  std::string state;  ///< "READY", or "UNAVAILABLE" with a reason.
  std::string reason;
};

/// Thread-safe; all references must outlive it.
class Service {
 public:
  static constexpr std::array<std::string_view, 7> kExtensions{
      "binary_tensor_data",  "system_shared_memory", "model_repository", "model_repository(unload_dependents)",
      "model_configuration", "statistics",           "parameters"};

  /// Without a control, models can be neither loaded nor unloaded.
  Service(const ModelRepository& models, SharedMemory& memory, ModelControl* control, std::string version)
      : models_(models), memory_(memory), control_(control), version_(std::move(version)) {}

  [[nodiscard]] const ModelRepository& models() const noexcept { return models_; }
  [[nodiscard]] SharedMemory& memory() const noexcept { return memory_; }
  [[nodiscard]] const std::string& version() const noexcept { return version_; }

  [[nodiscard]] std::vector<IndexEntry> index(bool only_ready) const;
  Result<void> load(const std::string& name) const;
  Result<void> unload(const std::string& name) const;
  /// All served models, or the one named. Errors: those of ModelRepository::find().
  [[nodiscard]] Result<std::vector<std::shared_ptr<ServedModel>>> served(std::string_view name,
                                                                         std::string_view version) const;

 private:
  const ModelRepository& models_;
  SharedMemory& memory_;
  ModelControl* control_;
  std::string version_;
};

/// "openvino_onnx": what the protocol calls the platform.
[[nodiscard]] std::string platform_of(const ServedModel& model);

/// What the configuration calls max_batch_size: most rows of a batch that requests are gathered into. 0: they are not,
/// and a batch is a dimension like any other.
[[nodiscard]] std::int64_t largest_batch(const ServedModel& model);
/// A tensor's dimensions as the configuration writes them: without that of the batch when requests are gathered.
[[nodiscard]] std::span<const std::int64_t> config_dimensions(const processing::TensorSpec& spec, bool batched);

}  // namespace verge::inference_api
