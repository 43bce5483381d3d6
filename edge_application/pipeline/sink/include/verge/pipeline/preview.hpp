// Preview: the newest annotated picture of a pipeline, for those who look at it now.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "verge/pipeline/sink.hpp"

namespace verge::pipeline {

/// Thread-safe. Pictures are made only while somebody waits for one.
class Preview {
 public:
  using Jpeg = std::shared_ptr<const std::string>;
  static constexpr std::size_t kMostViewers = 64;
  /// Asks for the next picture: `look` is called once, from the pipeline's thread; with nothing when it has ended, or
  /// at once when kMostViewers wait already.
  void next(std::function<void(Jpeg)> look);
  [[nodiscard]] bool wanted() const;
  void show(const Jpeg& jpeg);
  /// Everybody who waits, and who will, is told that nothing comes.
  void end();

 private:
  mutable std::mutex mutex_;
  std::vector<std::function<void(Jpeg)>> waiting_;
  bool ended_ = false;
};

/// Puts annotated pictures into `preview`, which it ends with itself.
std::unique_ptr<Sink> preview_sink(std::shared_ptr<Preview> preview, double max_rate_hz, int quality);

}  // namespace verge::pipeline
