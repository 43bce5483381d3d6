#include "measured_agent.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verge/wire/edge_config.hpp"

namespace verge::cli {
namespace {

constexpr std::chrono::seconds kStartPatience{120};
constexpr std::uint64_t kLogLimitBytes = 1U << 20U;

std::filesystem::path agent_program() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / "verge-agent";
}

}  // namespace

Result<std::unique_ptr<MeasuredAgent>> MeasuredAgent::start(const std::filesystem::path& package,
                                                            const std::string& engine, unsigned threads) {
  VERGE_ASSIGN(auto folder, TemporaryFolder::create("verge-bench-"));
  std::unique_ptr<MeasuredAgent> agent(new MeasuredAgent(std::move(folder)));
  wire::EdgeConfig configuration;
  configuration.version = 1;
  configuration.api.emplace().port = 0;
  configuration.logging.emplace().format = wire::LogFormat::json;
  auto& entry = configuration.models.emplace_back();
  entry.package = std::filesystem::absolute(package).string();
  entry.name = "model";
  entry.engine = wire::to_engine(engine);
  entry.threads = threads;
  const auto file = agent->folder_.path() / "edge_config.json";
  VERGE_TRY(write_file(file, std::string_view(wire::write_json(wire::to_node(configuration)))));
  const auto log = agent->folder_.path() / "agent.log";
  const Descriptor out(::open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  VERGE_ASSIGN(auto child, process::Child::start({agent_program(),
                                                  {"--config", file.string()},
                                                  {{out.number(), STDOUT_FILENO}, {out.number(), STDERR_FILENO}}}));
  agent->child_.emplace(std::move(child));
  http_client::ClientOptions options;
  VERGE_ASSIGN(options.base_url, agent->wait_for_url(log));
  VERGE_ASSIGN(agent->client_, http_client::Client::create(std::move(options)));
  return agent;
}

Result<std::string> MeasuredAgent::wait_for_url(const std::filesystem::path& log) {
  const auto end = std::chrono::steady_clock::now() + kStartPatience;
  std::string text;
  while (std::chrono::steady_clock::now() < end) {
    const bool ended = child_->wait(std::chrono::milliseconds(20)).has_value();
    VERGE_ASSIGN(const auto bytes, read_file(log, kLogLimitBytes));
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (std::size_t at = 0; at < text.size();) {
      const auto line_end = std::min(text.find('\n', at), text.size());
      const auto line = nlohmann::json::parse(text.substr(at, line_end - at), nullptr, false);
      at = line_end + 1;
      if (line.is_object() && line.contains("url")) return line["url"].get<std::string>();
    }
    if (ended) break;
  }
  return Error(ErrorCode::unavailable, "VRG-CLI-031",
               fmt::format("'{}' did not become ready; it said: {}", agent_program().string(), text));
}

Result<std::string> MeasuredAgent::post(const std::string& path, const std::string& body,
                                        const std::string& content_type, std::size_t json_bytes) {
  http_client::Call call;
  call.method = "POST";
  call.path = path;
  call.body = body;
  call.content_type = content_type;
  call.limit_bytes = std::uint64_t{1} << 30U;
  if (json_bytes > 0) call.headers.emplace_back("Inference-Header-Content-Length", std::to_string(json_bytes));
  VERGE_ASSIGN(auto reply, client_->send(call));
  if (reply.status >= 400) return http_client::error_of(reply);
  return std::move(reply.body);
}

}  // namespace verge::cli
