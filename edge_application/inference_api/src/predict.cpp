#include <fmt/format.h>

#include "api.hpp"
#include "verge/processing/rendering.hpp"

namespace verge::inference_api {
namespace {

/// What the client wants to get, by its Accept header.
enum class Wanted { json, mask, overlay };

Result<Wanted> wanted_by(std::string_view accept, const processing::Prediction& prediction) {
  if (accept.empty() || accept.find("application/json") != std::string_view::npos ||
      (accept.find("*/*") != std::string_view::npos && accept.find("image/png") == std::string_view::npos)) {
    return Wanted::json;
  }
  const bool has_mask = prediction.kind == processing::PredictionKind::mask;
  if (accept.find("image/png") != std::string_view::npos) {
    if (accept.find("view=overlay") != std::string_view::npos) return Wanted::overlay;
    if (accept.find("view=mask") == std::string_view::npos) return has_mask ? Wanted::mask : Wanted::overlay;
    if (has_mask) return Wanted::mask;
    return Error(ErrorCode::invalid_argument, "VRG-API-021",
                 "only a segmentation model has a mask; accept image/png;view=overlay or application/json");
  }
  return Error(
      ErrorCode::invalid_argument, "VRG-API-021",
      fmt::format("expected Accept: application/json, image/png, image/png;view=mask or image/png;view=overlay, "
                  "got '{}'",
                  accept));
}

http::Response json_answer(const ServedModel& model, const processing::Worker& worker,
                           const processing::Prediction& prediction) {
  http::Response response;
  std::string& out = response.body;
  out += "{\"model\":";
  processing::append_json_string(model.name, out);
  out += ",\"version\":";
  processing::append_json_string(model.version(), out);
  out += ',';
  processing::append_json(prediction, out);
  const auto ms = [](std::int64_t ns) { return static_cast<double>(ns) / 1e6; };
  const auto& times = worker.times();
  fmt::format_to(
      std::back_inserter(out),
      ",\"latency_ms\":{{\"decode\":{:.3f},\"preprocess\":{:.3f},\"infer\":{:.3f},\"postprocess\":{:.3f}}}}}",
      ms(times.decode_ns), ms(times.preprocess_ns), ms(times.infer_ns), ms(times.postprocess_ns));
  return response;
}

Result<http::Response> picture_answer(const http::Request& request, const processing::Worker& worker,
                                      const processing::Prediction& prediction, Wanted wanted) {
  http::Response response;
  response.content_type = "image/png";
  std::vector<std::byte> png;
  if (wanted == Wanted::mask) {
    VERGE_ASSIGN(png, processing::encode_png(processing::class_numbers(prediction.mask)));
  } else {
    processing::ImageDecoder decoder;
    processing::Image picture;
    processing::Image overlay;
    VERGE_TRY(decoder.decode(request.body, processing::PixelFormat::rgb, picture));
    processing::draw_overlay(picture.view(), prediction, worker.postprocessor().palette(), overlay);
    VERGE_ASSIGN(png, processing::encode_png(overlay.view()));
  }
  response.body.assign(reinterpret_cast<const char*>(png.data()), png.size());
  return response;
}

}  // namespace

http::Response predict(const http::Request& request, ServedModel& model) {
  if (request.body.empty()) {
    return refuse(Error(ErrorCode::invalid_argument, "VRG-API-020",
                        "expected a picture (JPEG, PNG or BMP) as the body, got none; for example: curl --data-binary "
                        "@cat.jpg …/predict"));
  }
  const auto asked = std::chrono::steady_clock::now();
  auto worker = model.workers->acquire(urgency(0, 0));
  if (!worker) return refuse(worker.error());
  const std::chrono::nanoseconds waited = std::chrono::steady_clock::now() - asked;
  const bool image = model.workers->model().takes_image();
  const auto prediction = image ? (*worker)->predict_encoded(request.body) : (*worker)->predict_values(request.body);
  if (!prediction) return refuse(prediction.error());
  auto times = (*worker)->times();
  times.wait_ns = waited.count();
  model.observe(times);
  const auto wanted = wanted_by(request.header("Accept"), **prediction);
  if (!wanted) {
    auto refused = refuse(wanted.error());
    refused.status = 406;
    return refused;
  }
  if (*wanted == Wanted::json) return json_answer(model, **worker, **prediction);
  auto answer = picture_answer(request, **worker, **prediction, *wanted);
  return answer ? std::move(*answer) : refuse(answer.error());
}

}  // namespace verge::inference_api
