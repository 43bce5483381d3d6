#include "package_puller.hpp"

#include <algorithm>
#include <chrono>
#include <random>

#include "backoff.hpp"
#include "verge/base/rest.hpp"

namespace verge::agent {
namespace {

constexpr std::int64_t kRetryLongest_ms = 600'000;

std::vector<std::string> references(const std::vector<ModelOrder>& orders) {
  std::vector<std::string> found;
  for (const auto& order : orders) {
    const auto& package = order.entry.package;
    if (is_pulled(package) && std::ranges::find(found, package) == found.end()) found.push_back(package);
  }
  return found;
}

}  // namespace

std::vector<ModelOrder> PackagePuller::resolve(const std::vector<ModelOrder>& orders) {
  return resolve(orders, "", "");
}

/// With `digest` for `package`, whatever is here for it.
std::vector<ModelOrder> PackagePuller::resolve(const std::vector<ModelOrder>& orders, const std::string& package,
                                               const std::string& digest) {
  std::vector<ModelOrder> resolved;
  for (auto order : orders) {
    if (is_pulled(order.entry.package)) {
      const auto present = order.entry.package == package ? digest : packages_.present(order.entry.package);
      if (!present) continue;
      auto opened = packages_.open(*present);
      if (!opened) {
        log_.error("model left out: its package cannot be opened",
                   {{"package", order.entry.package}, {"error", opened.error().text()}});
        continue;
      }
      order.digest = *present;
      order.entry.package = std::move(*opened);
    }
    resolved.push_back(std::move(order));
  }
  return resolved;
}

void PackagePuller::start(std::vector<ModelOrder> orders, wire::PackageRegistry registry, bool again, Serve serve) {
  stop();
  Work work{std::move(orders), std::move(registry), std::move(serve), {}};
  for (auto& package : references(work.orders)) {
    const bool moves = again && package.find('@') == std::string::npos;
    if (moves || !packages_.present(package)) work.pending.push_back(std::move(package));
  }
  if (const auto kept = packages_.keep(references(work.orders)); !kept) {
    log_.warning("packages that nothing needs are still here", {{"error", kept.error().text()}});
  }
  if (work.pending.empty()) return;
  thread_ = std::jthread(
      [this, moved = std::move(work)](const std::stop_token& token) mutable { run(std::move(moved), token); });
}

void PackagePuller::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void PackagePuller::run(Work work, const std::stop_token& stop) {
  Backoff backoff(kRetryLongest_ms);
  std::random_device random;
  while (!stop.stop_requested()) {
    std::erase_if(work.pending, [&](const std::string& package) {
      if (stop.stop_requested()) return false;
      const auto fetched = fetch(work, package, stop);
      if (!fetched && !stop.stop_requested()) {
        log_.warning("package not pulled; it is tried again",
                     {{"package", package}, {"error", fetched.error().text()}});
      }
      return fetched.has_value();
    });
    if (work.pending.empty()) return;
    rest(std::chrono::milliseconds(backoff.next(random())), stop);
  }
}

Result<void> PackagePuller::fetch(const Work& work, const std::string& package, const std::stop_token& stop) {
  const auto before = packages_.present(package);
  VERGE_ASSIGN(const auto digest, packages_.pull(package, work.registry, stop));
  if (before == digest) return {};
  log_.info("package pulled", {{"package", package}, {"digest", digest}});
  if (stop.stop_requested()) return {};
  VERGE_TRY(packages_.open(digest));  // Else the model would be left out in place of going on as it was.
  const auto served = work.serve(resolve(work.orders, package, digest), false);
  if (!served && before) {
    log_.error("the package that was pulled is not served; the one before goes on",
               {{"package", package}, {"digest", digest}, {"error", served.error().text()}});
    return packages_.keep(references(work.orders));
  }
  VERGE_TRY(packages_.take(package, digest));
  // One that cannot be loaded must not keep the others from it.
  if (!served) (void)work.serve(resolve(work.orders), true);
  return packages_.keep(references(work.orders));
}

}  // namespace verge::agent
