#include "verge/pipeline/event.hpp"

#include <algorithm>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace verge::pipeline {
namespace {

double ms(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

void append_time(std::chrono::system_clock::time_point time, std::string& out) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  fmt::format_to(std::back_inserter(out), "{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                 fmt::gmtime(std::chrono::system_clock::to_time_t(time)), milliseconds.count() % 1000);
}

/// A model's findings in the pieces of a picture, from `at` on; returns the finding after them.
std::size_t append_crops(std::span<const Finding> findings, std::size_t at, std::string& out) {
  const Finding& first = findings[at];
  fmt::format_to(std::back_inserter(out), "{{\"model\":\"{}\",\"crops\":[", first.name);
  for (const char* separator = ""; at < findings.size() && findings[at].name == first.name; ++at) {
    const Finding& finding = findings[at];
    out += separator;
    separator = ",";
    if (!finding.crop) continue;
    const auto& region = finding.crop->region;
    fmt::format_to(std::back_inserter(out), "{{\"box\":{},\"label\":", finding.crop->box);
    processing::append_json_string(region.label, out);
    fmt::format_to(std::back_inserter(out), ",\"region\":[{:.1f},{:.1f},{:.1f},{:.1f}],", region.x0, region.y0,
                   region.x1, region.y1);
    out += finding.json;
    out += '}';
  }
  out += "]}";
  return at;
}

}  // namespace

Result<processing::ImageView> Picture::view() {
  if (!sample_->frame.empty()) return sample_->frame;
  if (!decoded_) {
    VERGE_TRY(decoder_.decode(sample_->encoded, processing::PixelFormat::rgb, image_));
    decoded_ = true;
  }
  return image_.view();
}

void keep_texts(Finding& finding) {
  auto& prediction = finding.prediction;
  const auto each = [&prediction](const auto& act) {
    for (auto& entry : prediction.classes) act(entry.label);
    for (auto& box : prediction.boxes) act(box.label);
    for (auto& area : prediction.areas) act(area.label);
    for (auto& value : prediction.values) act(value.name);
    act(prediction.custom);
  };
  std::size_t size = 0;
  each([&size](std::string_view text) { size += text.size(); });
  finding.texts.resize(size);
  char* at = finding.texts.data();
  each([&at](std::string_view& text) {
    std::ranges::copy(text, at);
    text = {at, text.size()};
    at += text.size();
  });
}

void write_json(const processing::Worker& worker, Finding& finding) {
  const auto& metadata = worker.model().package().metadata;
  const auto& times = finding.times;
  const auto stage = [](std::int64_t ns) { return ms(std::chrono::nanoseconds(ns)); };
  finding.json.clear();
  fmt::format_to(std::back_inserter(finding.json), "\"model\":\"{}\",\"version\":\"{}\",\"engine\":\"{}\",",
                 finding.name, metadata.version, worker.model().choice().engine);
  processing::append_json(finding.prediction, finding.json);
  fmt::format_to(std::back_inserter(finding.json),
                 ",\"latency_ms\":{{\"decode\":{:.3f},\"preprocess\":{:.3f},\"infer\":{:.3f},\"postprocess\":{:.3f}}}",
                 stage(times.decode_ns), stage(times.preprocess_ns), stage(times.infer_ns),
                 stage(times.postprocess_ns));
}

void append_json(const Event& event, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{{\"pipeline\":\"{}\",\"source\":", event.pipeline);
  processing::append_json_string(event.sample.name, out);
  fmt::format_to(std::back_inserter(out), ",\"frame\":{},\"time\":\"", event.sample.index);
  append_time(event.sample.time, out);
  out += "\",\"results\":[";
  for (std::size_t i = 0; i < event.findings.size();) {
    if (i > 0) out += ',';
    if (event.findings[i].crop) {
      i = append_crops(event.findings, i, out);
      continue;
    }
    out += '{';
    out += event.findings[i++].json;
    out += '}';
  }
  fmt::format_to(std::back_inserter(out), "],\"age_ms\":{:.3f}}}",
                 ms(std::chrono::steady_clock::now() - event.sample.arrived));
}

}  // namespace verge::pipeline
