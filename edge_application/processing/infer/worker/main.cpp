// verge-engine-worker: runs one model's engine apart from the agent. Started by the agent only.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "served_request.hpp"

namespace verge::processing::isolation {
namespace {

using nlohmann::json;

constexpr int kControlNumber = 3;

/// The first to go when memory ends, no dumps of what may be private, and no more rights than it has.
void give_up_rights() {
  std::ofstream("/proc/self/oom_score_adj") << 500;
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

SessionOptions options_of(const json& order) {
  SessionOptions options;
  options.format = order.at("format").get<std::string>();
  options.threads = order.at("threads").get<unsigned>();
  options.max_requests = order.at("max_requests").get<unsigned>();
  options.precision = static_cast<Precision>(order.at("precision").get<int>());
  options.cache_directory = order.at("cache_directory").get<std::string>();
  options.device = order.at("device").get<std::string>();
  options.delegate = order.at("delegate").get<std::string>();
  options.options = order.at("options").get<decltype(options.options)>();
  return options;
}

json description(std::span<const TensorSpec> tensors) {
  json list = json::array();
  for (const auto& spec : tensors) {
    json tensor{{"name", spec.name}, {"datatype", static_cast<int>(spec.datatype)}, {"shape", spec.shape}};
    if (spec.quantisation) {
      tensor["scale"] = spec.quantisation->scale;
      tensor["zero_point"] = spec.quantisation->zero_point;
    }
    list.push_back(std::move(tensor));
  }
  return list;
}

int serve() {
  Channel control{Descriptor(kControlNumber)};
  Message message;
  if (control.receive(message) != Channel::Outcome::received || message.frame.kind != Kind::load) {
    std::fputs("verge-engine-worker is started by verge-agent, not by hand\n", stderr);
    return EXIT_FAILURE;
  }
  const auto order = json::parse(message.text());
  const auto engine = order.at("engine").get<std::string>();
  const auto model = order.at("model").get<std::string>();
  EngineCatalogue engines(order.at("folder").get<std::string>());
  const auto session = engines.load(engine, model, options_of(order));
  const std::string context = fmt::format("{} (engine '{}'): ", model, engine);
  if (!session) {
    control.send_text({.status = status_of(session.error())}, reason_of(session.error(), context));
    return EXIT_FAILURE;
  }
  control.send_text({}, json{{"version", (*session)->engine_version()},
                             {"inputs", description((*session)->inputs())},
                             {"outputs", description((*session)->outputs())}}
                            .dump());
  // Ends with the agent, in the middle of a run if need be.
  while (control.receive(message) == Channel::Outcome::received) {
    if (message.frame.kind != Kind::request || !message.descriptor) break;
    std::thread([channel = std::move(message.descriptor), session = *session, context]() mutable {
      serve_request(Channel(std::move(channel)), *session, context);
    }).detach();
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace verge::processing::isolation

int main() {
  verge::processing::isolation::give_up_rights();
  // Not through destructors: requests may be running.
  std::_Exit(verge::processing::isolation::serve());
}
