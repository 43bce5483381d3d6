#include <algorithm>
#include <optional>

#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {
namespace {

using processing::PredictionKind;

class FilteredSink final : public Sink {
 public:
  FilteredSink(Filter filter, std::unique_ptr<Sink> sink) : filter_(std::move(filter)), sink_(std::move(sink)) {}

  Result<void> put(const Event& event) override {
    const auto now = std::chrono::steady_clock::now();
    if (last_ && now - *last_ < filter_.interval) return {};
    if (!filter_.labels.empty() &&
        !std::ranges::any_of(event.findings, [this](const Finding& finding) { return passes(finding.prediction); })) {
      return {};
    }
    last_ = now;
    return sink_->put(event);
  }
  [[nodiscard]] Deliveries deliveries() const override { return sink_->deliveries(); }

 private:
  [[nodiscard]] bool passes(std::string_view label, float score) const {
    return static_cast<double>(score) >= filter_.min_score &&
           std::ranges::find(filter_.labels, label) != filter_.labels.end();
  }
  [[nodiscard]] bool passes(const processing::Prediction& prediction) const {
    switch (prediction.kind) {
      case PredictionKind::classes:
        return !prediction.classes.empty() &&
               passes(prediction.classes.front().label, prediction.classes.front().score);
      case PredictionKind::boxes:
        return std::ranges::any_of(prediction.boxes, [this](const auto& box) { return passes(box.label, box.score); });
      case PredictionKind::mask:
        return std::ranges::any_of(prediction.areas,
                                   [this](const auto& area) { return passes(area.label, area.fraction); });
      case PredictionKind::anomaly: return prediction.anomaly.found && passes("anomaly", 1);
      default: return false;
    }
  }
  Filter filter_;
  std::unique_ptr<Sink> sink_;
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace

std::unique_ptr<Sink> filtered(Filter filter, std::unique_ptr<Sink> sink) {
  return std::make_unique<FilteredSink>(std::move(filter), std::move(sink));
}

}  // namespace verge::pipeline
