// Model order: a model that is to be served, and how, as the configuration or an application says it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "verge/processing/worker_pool.hpp"
#include "verge/wire/application.hpp"
#include "verge/wire/edge_config.hpp"
#include "verge/wire/metadata.hpp"

namespace verge::agent {

class Spools;

struct ModelOrder {
  wire::ModelEntry entry;
  std::string digest;  ///< That the package must have; empty: any.
};

/// What holds for all models.
struct ServingOptions {
  unsigned threads = 1;  ///< That all models share.
  std::filesystem::path state_directory;
  bool keep_compiled = true;  ///< Compiled models may lie there, in plain.
  std::uint64_t max_image_pixels = 50'000'000;
  std::optional<wire::Isolation> isolation;  ///< Of models that say nothing of it.
  wire::CustomSteps custom_steps;            ///< What holds for functions that packages bring along.
  Spools* spools = nullptr;                  ///< Null: there is no place for any.
  double slow_request_ms = 0;                ///< 0: none is slow.
  std::uint64_t model_memory_bytes = 0;      ///< That the models' budgets may add up to; 0: no limit.
};

/// An application's model in this folder, as an order.
[[nodiscard]] ModelOrder order_of(const wire::ApplicationModel& model, std::string package, std::string digest);

/// How to load it: also what the choice of an engine depends on, so that a trial and the real thing choose alike.
[[nodiscard]] processing::LoadOptions load_options(const wire::ModelEntry& entry, const wire::Metadata& metadata,
                                                   const ServingOptions& options);
/// How to share it, with the settings that were chosen.
[[nodiscard]] processing::PoolOptions pool_options(const wire::ModelEntry& entry, const processing::Settings& settings,
                                                   std::shared_ptr<processing::Turnstile> thread_budget);

}  // namespace verge::agent
