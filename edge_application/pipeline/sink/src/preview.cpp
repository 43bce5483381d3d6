#include "verge/pipeline/preview.hpp"

#include <optional>

#include "annotation.hpp"

namespace verge::pipeline {
namespace {

class PreviewSink final : public Sink {
 public:
  PreviewSink(std::shared_ptr<Preview> preview, double max_rate_hz, int quality)
      : preview_(std::move(preview)), period_(1.0 / max_rate_hz), quality_(quality) {}
  ~PreviewSink() override { preview_->end(); }

  Result<void> put(const Event& event) override {
    const auto now = std::chrono::steady_clock::now();
    if (!preview_->wanted() || (last_ && now - *last_ < period_)) return {};
    last_ = now;
    VERGE_ASSIGN(const auto picture, annotation_.draw(event));
    std::string jpeg;
    VERGE_TRY(processing::append_jpeg(picture, quality_, jpeg));
    preview_->show(std::make_shared<const std::string>(std::move(jpeg)));
    return {};
  }

 private:
  std::shared_ptr<Preview> preview_;
  std::chrono::duration<double> period_;
  int quality_;
  std::optional<std::chrono::steady_clock::time_point> last_;
  Annotation annotation_;
};

}  // namespace

void Preview::next(std::function<void(Jpeg)> look) {
  {
    const std::lock_guard lock(mutex_);
    if (!ended_ && waiting_.size() < kMostViewers) {
      waiting_.push_back(std::move(look));
      return;
    }
  }
  look(nullptr);
}

bool Preview::wanted() const {
  const std::lock_guard lock(mutex_);
  return !waiting_.empty();
}

void Preview::show(const Jpeg& jpeg) {
  std::vector<std::function<void(Jpeg)>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& look : waiting) look(jpeg);
}

void Preview::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  show(nullptr);
}

std::unique_ptr<Sink> preview_sink(std::shared_ptr<Preview> preview, double max_rate_hz, int quality) {
  return std::make_unique<PreviewSink>(std::move(preview), max_rate_hz, quality);
}

}  // namespace verge::pipeline
