// verge login, hub, agent.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "verbs.hpp"
#include "verge/wire/event_list.hpp"
#include "verge/wire/hub_status.hpp"
#include "verge/wire/token_answer.hpp"
#include "verge/wire/token_list.hpp"
#include "verge/wire/token_request.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct LoginOptions : HubOptions {
  std::string url, fingerprint, token;
};

struct TokenOptions : HubOptions {
  std::string name;
  std::vector<std::string> rights;
};

struct AgentOptions : HubOptions {
  std::string url = "http://127.0.0.1:8600";
};

int login(const LoginOptions& options) {
  auto token = options.token;
  if (token.empty()) {
    if (const char* given = std::getenv("VERGE_TOKEN"); given != nullptr) token = given;
  }
  if (token.empty()) {
    return report(
        Error(ErrorCode::invalid_argument, "VRG-CLI-013", "expected --token, or VERGE_TOKEN in the environment"),
        options.format());
  }
  const auto session = HubSession::login(options.url, options.fingerprint, token);
  if (!session) return report(session.error(), options.format());
  print(fmt::format("Logged in to {} (kept in {})", options.url, HubSession::login_file().string()));
  return 0;
}

/// Runs the program that lies beside this one.
int run_beside(const char* name, const std::vector<std::string>& rest) {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto program = (self.parent_path() / name).string();
  std::vector<std::string> copies{program};
  copies.insert(copies.end(), rest.begin(), rest.end());
  std::vector<char*> argv;
  argv.reserve(copies.size() + 1);
  for (auto& text : copies) argv.push_back(text.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return report(Error(ErrorCode::not_found, "VRG-CLI-014",
                      fmt::format("expected the program '{}' beside this one, got: {}; install it", program,
                                  std::error_code(errno, std::generic_category()).message())),
                Format::table);
}

/// A verb whose options are those of another program, of that one's `own` verb where it has one.
void add_beside(CLI::App& group, Action& action, const char* name, const char* help, const char* program,
                std::vector<std::string> own = {}) {
  auto* verb = group.add_subcommand(name, help);
  verb->allow_extras();
  verb->prefix_command();
  verb->callback([verb, program, own = std::move(own), &action] {
    auto arguments = own;
    std::ranges::copy(verb->remaining(), std::back_inserter(arguments));
    action = [arguments = std::move(arguments), program] { return run_beside(program, arguments); };
  });
}

Result<void> create_token(HubSession& hub, const TokenOptions& options) {
  wire::TokenRequest request;
  request.name = options.name;
  for (const auto& text : options.rights) {
    const auto right = wire::to_right(text);
    if (!right) {
      return Error(ErrorCode::invalid_argument, "VRG-CLI-015",
                   fmt::format("expected a right of read, publish, deploy or administer, got '{}'", text));
    }
    request.rights.push_back(*right);
  }
  VERGE_ASSIGN(const Node node, hub.call("POST", "/api/v1/tokens", wire::write_json_line(wire::to_node(request))));
  VERGE_ASSIGN(const auto answer, wire::read_token_answer(node, wire::Place("token")));
  show(options, node,
       [&] { return fmt::format("{}\n\nIt is not shown again. Its id, to end it: {}", answer.token, answer.id); });
  return {};
}

Result<void> list_tokens(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/tokens"));
  VERGE_ASSIGN(const auto list, wire::read_token_list(node, wire::Place("tokens")));
  show(options, node, [&] {
    std::vector<std::vector<std::string>> rows{{"ID", "NAME", "RIGHTS", "MADE"}};
    for (const auto& token : list.tokens) {
      std::vector<std::string> rights;
      for (const auto right : token.rights) rights.emplace_back(wire::name(right));
      rows.push_back({token.id, token.name, fmt::format("{}", fmt::join(rights, ", ")), moment(token.created_ms)});
    }
    return table(rows);
  });
  return {};
}

Result<void> hub_status(HubSession& hub, const HubOptions& options) {
  VERGE_ASSIGN(const Node node, hub.get("/api/v1/status"));
  VERGE_ASSIGN(const auto status, wire::read_hub_status(node, wire::Place("status")));
  show(options, node, [&] {
    std::vector<std::string> rights;
    for (const auto right : status.rights) rights.emplace_back(wire::name(right));
    return fmt::format(
        "{}  verge-hub {}, up since {}\n{} devices, {} online{}; {} models, {} applications, {} "
        "deployments{}\nyou are '{}', with the rights {}",
        hub.url(), status.version, moment(status.started_ms), status.devices.value_or(0), status.online.value_or(0),
        status.conflicts.value_or(0) > 0 ? fmt::format(", {} in conflict", *status.conflicts) : "",
        status.models.value_or(0), status.applications.value_or(0), status.deployments.value_or(0),
        status.frozen ? "; the fleet is FROZEN" : "", status.caller.value_or("?"), fmt::join(rights, ", "));
  });
  return {};
}

int agent_status(const AgentOptions& options) {
  http_client::ClientOptions client_options;
  client_options.base_url = options.url;
  auto client = http_client::Client::create(client_options);
  if (!client) return report(client.error(), options.format());
  http_client::Call call;
  call.path = "/status";
  auto reply = (*client)->send(call);
  if (reply && reply->status >= 400) return report(http_client::error_of(*reply), options.format());
  if (!reply) return report(reply.error(), options.format());
  print(reply->body);
  return 0;
}

}  // namespace

void add_login_commands(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("login",
                                  "Log in to a hub; verge-hub prints this line when it starts for the first time\n\n"
                                  "Example:\n  verge login https://hub:8700 --fingerprint sha256:… --token …");
  auto options = std::make_shared<LoginOptions>();
  verb->add_option("URL", options->url, "https://HOST:PORT of the hub")->required();
  verb->add_option("--fingerprint", options->fingerprint, "sha256:… of the hub's certificate authority")->required();
  verb->add_option("--token", options->token, "Token; VERGE_TOKEN in the environment when absent");
  verb->callback([options, &action] { action = [options] { return login(*options); }; });

  auto* hub = app.add_subcommand("hub", "Start a hub; look at it; make tokens for people and scripts");
  hub->require_subcommand(1);
  add_beside(*hub, action, "start",
             "Start a hub here; options as of verge-hub\n\nExample:\n  verge hub start --data hub", "verge-hub");
  add_beside(*hub, action, "backup",
             "Make an encrypted backup of a hub's folder, while it runs; options as of verge-hub backup\n\nExample:\n"
             "  verge hub backup 2026-11-27.backup --data hub --passphrase-file passphrase.txt",
             "verge-hub", {"backup"});
  add_beside(*hub, action, "restore",
             "Make a hub's folder from a backup; options as of verge-hub restore\n\nExample:\n"
             "  verge hub restore 2026-11-27.backup --data hub --passphrase-file passphrase.txt",
             "verge-hub", {"restore"});
  add_hub_verb<HubOptions>(*hub, action, "status", "What hub this is, and what you may do there", hub_status);
  add_registry_verbs(*hub, action);
  auto* token = hub->add_subcommand("token", "Tokens of people and scripts");
  token->require_subcommand(1);
  {
    auto [create, o] = add_hub_verb<TokenOptions>(*token, action, "create",
                                                  "Make a token; it is shown once\n\nExample:\n"
                                                  "  verge hub token create ci --rights read,publish",
                                                  create_token);
    create->add_option("NAME", o->name, "Who will use it")->required();
    create->add_option("--rights", o->rights, "Of read, publish, deploy, administer")->required()->delimiter(',');
  }
  add_hub_verb<HubOptions>(*token, action, "list", "All tokens, without their secrets", list_tokens);
  {
    auto [remove, o] = add_hub_verb<TokenOptions>(
        *token, action, "delete", "End a token", [](HubSession& session, const TokenOptions& t) -> Result<void> {
          VERGE_TRY(session.call("DELETE", "/api/v1/tokens/" + encode(t.name)));
          return {};
        });
    remove->add_option("ID", o->name, "From 'verge hub token list'")->required();
  }

  auto* agent = app.add_subcommand("agent", "Start an agent; ask a running one how it is; releases of the agent");
  agent->require_subcommand(1);
  add_beside(
      *agent, action, "start",
      "Start an agent here; options as of verge-agent\n\nExample:\n  verge agent start --config edge_config.yaml",
      "verge-agent");
  auto* status = agent->add_subcommand("status", "What an agent on this device reports, as JSON");
  auto agent_options = std::make_shared<AgentOptions>();
  status->add_option("--url", agent_options->url, "Address of its API")->capture_default_str();
  status->callback([agent_options, &action] { action = [agent_options] { return agent_status(*agent_options); }; });
  add_release_verbs(*agent, action);
}

}  // namespace verge::cli
