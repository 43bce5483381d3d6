// What is said of models.
#include "grpc_service.hpp"

namespace verge::inference_api {
namespace {

using processing::DataType;

void write_tensor(const processing::TensorSpec& spec, inference::ModelMetadataResponse::TensorMetadata& tensor) {
  tensor.set_name(spec.name);
  tensor.set_datatype(std::string(processing::name(spec.datatype)));
  tensor.mutable_shape()->Add(spec.shape.begin(), spec.shape.end());
}

inference::DataType config_type(DataType type) noexcept {
  switch (type) {
    case DataType::bool_: return inference::TYPE_BOOL;
    case DataType::uint8: return inference::TYPE_UINT8;
    case DataType::uint16: return inference::TYPE_UINT16;
    case DataType::uint32: return inference::TYPE_UINT32;
    case DataType::uint64: return inference::TYPE_UINT64;
    case DataType::int8: return inference::TYPE_INT8;
    case DataType::int16: return inference::TYPE_INT16;
    case DataType::int32: return inference::TYPE_INT32;
    case DataType::int64: return inference::TYPE_INT64;
    case DataType::fp16: return inference::TYPE_FP16;
    case DataType::fp32: return inference::TYPE_FP32;
    case DataType::fp64: return inference::TYPE_FP64;
    case DataType::bf16: return inference::TYPE_BF16;
    case DataType::bytes: return inference::TYPE_STRING;
  }
  return inference::TYPE_INVALID;
}

void write(const Statistics::Duration& duration, inference::StatisticDuration& out) {
  out.set_count(static_cast<std::uint64_t>(duration.count));
  out.set_ns(static_cast<std::uint64_t>(duration.ns));
}

}  // namespace

void write_metadata(const ServedModel& model, inference::ModelMetadataResponse& response) {
  response.set_name(model.name);
  response.add_versions(model.version());
  response.set_platform(platform_of(model));
  for (const auto& spec : model.workers->model().inputs()) write_tensor(spec, *response.add_inputs());
  for (const auto& spec : model.workers->model().outputs()) write_tensor(spec, *response.add_outputs());
}

void write_config(const ServedModel& served, inference::ModelConfig& config) {
  const auto& model = served.workers->model();
  config.set_name(served.name);
  config.set_platform(platform_of(served));
  config.set_backend(model.choice().engine);
  const auto batch = largest_batch(served);
  config.set_max_batch_size(static_cast<std::int32_t>(batch));
  if (batch > 0) {
    config.mutable_dynamic_batching()->set_max_queue_delay_microseconds(
        static_cast<std::uint64_t>(served.workers->options().batching.max_delay.count()));
  }
  config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  config.set_default_model_filename(model.package().metadata.model.file);
  auto& group = *config.add_instance_group();
  group.set_name(served.name);
  group.set_kind(inference::ModelInstanceGroup::KIND_CPU);
  group.set_count(1);
  for (const auto& spec : model.inputs()) {
    auto& input = *config.add_input();
    input.set_name(spec.name);
    input.set_data_type(config_type(spec.datatype));
    const auto dims = config_dimensions(spec, batch > 0);
    input.mutable_dims()->Add(dims.begin(), dims.end());
  }
  for (const auto& spec : model.outputs()) {
    auto& output = *config.add_output();
    output.set_name(spec.name);
    output.set_data_type(config_type(spec.datatype));
    const auto dims = config_dimensions(spec, batch > 0);
    output.mutable_dims()->Add(dims.begin(), dims.end());
  }
}

void write_statistics(const ServedModel& model, inference::ModelStatistics& statistics) {
  const auto reading = model.statistics.read();
  statistics.set_name(model.name);
  statistics.set_version(model.version());
  statistics.set_last_inference(static_cast<std::uint64_t>(reading.last_inference_ms));
  statistics.set_inference_count(static_cast<std::uint64_t>(reading.inference_count));
  statistics.set_execution_count(static_cast<std::uint64_t>(reading.execution_count));
  auto& all = *statistics.mutable_inference_stats();
  write(reading.success, *all.mutable_success());
  write(reading.fail, *all.mutable_fail());
  write(reading.queue, *all.mutable_queue());
  write(reading.input, *all.mutable_compute_input());
  write(reading.infer, *all.mutable_compute_infer());
  write(reading.output, *all.mutable_compute_output());
  write({}, *all.mutable_cache_hit());
  write({}, *all.mutable_cache_miss());
  for (const auto& [size, batch] : reading.batches) {
    auto& of_size = *statistics.add_batch_stats();
    of_size.set_batch_size(static_cast<std::uint64_t>(size));
    write(batch.input, *of_size.mutable_compute_input());
    write(batch.infer, *of_size.mutable_compute_infer());
    write(batch.output, *of_size.mutable_compute_output());
  }
}

}  // namespace verge::inference_api
