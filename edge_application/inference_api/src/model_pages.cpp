// What is said of a model: metadata, configuration, statistics.
#include <nlohmann/json.hpp>

#include "api.hpp"

namespace verge::inference_api {
namespace {

using nlohmann::ordered_json;

ordered_json tensor_json(const processing::TensorSpec& spec) {
  return {{"name", spec.name}, {"datatype", processing::name(spec.datatype)}, {"shape", spec.shape}};
}

/// The configuration calls FP32 "TYPE_FP32", and BYTES "TYPE_STRING".
ordered_json config_tensor(const processing::TensorSpec& spec, bool batched, bool input) {
  const std::string type = spec.datatype == processing::DataType::bytes
                               ? "TYPE_STRING"
                               : "TYPE_" + std::string(processing::name(spec.datatype));
  ordered_json tensor{{"name", spec.name}, {"data_type", type}};
  if (input) tensor["format"] = "FORMAT_NONE";
  tensor["dims"] = config_dimensions(spec, batched);
  return tensor;
}

ordered_json duration(const Statistics::Duration& taken) {
  return {{"count", taken.count}, {"ns", taken.ns}};
}

ordered_json statistics_of(const ServedModel& model) {
  const auto reading = model.statistics.read();
  ordered_json batches = ordered_json::array();
  for (const auto& [size, batch] : reading.batches) {
    batches.push_back({{"batch_size", size},
                       {"compute_input", duration(batch.input)},
                       {"compute_infer", duration(batch.infer)},
                       {"compute_output", duration(batch.output)}});
  }
  const Statistics::Duration none;
  return {{"name", model.name},
          {"version", model.version()},
          {"last_inference", reading.last_inference_ms},
          {"inference_count", reading.inference_count},
          {"execution_count", reading.execution_count},
          {"inference_stats",
           {{"success", duration(reading.success)},
            {"fail", duration(reading.fail)},
            {"queue", duration(reading.queue)},
            {"compute_input", duration(reading.input)},
            {"compute_infer", duration(reading.infer)},
            {"compute_output", duration(reading.output)},
            {"cache_hit", duration(none)},
            {"cache_miss", duration(none)}}},
          {"batch_stats", std::move(batches)}};
}

}  // namespace

http::Response model_metadata(const ServedModel& served) {
  const auto& model = served.workers->model();
  ordered_json body{{"name", served.name},
                    {"versions", {served.version()}},
                    {"platform", platform_of(served)},
                    {"inputs", ordered_json::array()},
                    {"outputs", ordered_json::array()}};
  for (const auto& spec : model.inputs()) body["inputs"].push_back(tensor_json(spec));
  for (const auto& spec : model.outputs()) body["outputs"].push_back(tensor_json(spec));
  const auto settings = [](const processing::Settings& s) {
    return ordered_json{{"threads", s.threads}, {"workers", s.workers}, {"batch_rows", s.batch_rows}};
  };
  ordered_json choice{{"engine", model.choice().engine},
                      {"engine_version", model.engine_version()},
                      {"settings", settings(model.choice().settings)}};
  if (!model.choice().because.empty()) choice["because"] = model.choice().because;
  if (model.isolated()) choice["process_restarts"] = model.restarts();
  for (const auto& trial : model.choice().trials) {
    ordered_json tried{{"engine", trial.engine}, {"settings", settings(trial.settings)}, {"correct", trial.correct}};
    if (trial.correct) tried["median_ms"] = trial.median_ms;
    if (trial.per_second > 0) tried["per_second"] = trial.per_second;
    if (!trial.reason.empty()) tried["reason"] = trial.reason;
    choice["trials"].push_back(std::move(tried));
  }
  body["parameters"] = {{"digest", model.package().digest}, {"choice", std::move(choice)}};
  return json_response(body);
}

http::Response model_config(const ServedModel& served) {
  const auto& model = served.workers->model();
  const auto batch = largest_batch(served);
  ordered_json body{{"name", served.name},
                    {"platform", platform_of(served)},
                    {"backend", model.choice().engine},
                    {"version_policy", {{"latest", {{"num_versions", 1}}}}},
                    {"max_batch_size", batch},
                    {"input", ordered_json::array()},
                    {"output", ordered_json::array()},
                    {"instance_group", {{{"name", served.name}, {"kind", "KIND_CPU"}, {"count", 1}}}},
                    {"default_model_filename", model.package().metadata.model.file},
                    {"parameters", ordered_json::object()}};
  for (const auto& spec : model.inputs()) body["input"].push_back(config_tensor(spec, batch > 0, true));
  for (const auto& spec : model.outputs()) body["output"].push_back(config_tensor(spec, batch > 0, false));
  if (batch > 0) {
    body["dynamic_batching"] = {{"max_queue_delay_microseconds", served.workers->options().batching.max_delay.count()}};
  }
  return json_response(body);
}

http::Response model_statistics(const std::vector<std::shared_ptr<ServedModel>>& models) {
  ordered_json body{{"model_stats", ordered_json::array()}};
  for (const auto& model : models) body["model_stats"].push_back(statistics_of(*model));
  return json_response(body);
}

}  // namespace verge::inference_api
