// verge-hub: models, devices and deployments of a fleet.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "delta_child.hpp"
#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/hub/api.hpp"
#include "verge/hub/backup.hpp"
#include "verge/hub/registry.hpp"

namespace {

struct Options {
  std::filesystem::path data;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8700;
  std::vector<std::string> names;
  verge::hub::RegistrySetup registry;
  std::int64_t grace_s = 3600;
  std::int64_t collect_every_s = 3600;
  bool deltas = true;
  verge::hub::TelemetrySetup telemetry;
  std::uint64_t delta_limit_bytes = verge::hub::DeltaSetup{}.largest_file_bytes;
};

struct BackupOptions {
  std::filesystem::path file;
  std::filesystem::path passphrase_file;
};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string url_of(const std::string& address, std::uint16_t port) {
  const bool six = address.find(':') != std::string::npos;
  return six ? fmt::format("https://[{}]:{}", address, port) : fmt::format("https://{}:{}", address, port);
}

/// The line with which people sign in; with the administrator's token on the first start only.
verge::Result<void> show_login(verge::hub::Hub& hub, const std::string& url) {
  VERGE_ASSIGN(const auto authority, verge::crypto::read_certificate(hub.authority_certificate()));
  auto line = fmt::format("verge login {} --fingerprint {}", url, authority.fingerprint);
  if (!hub.first_token().empty()) {
    line += " --token " + hub.first_token();
    VERGE_TRY(hub.keep_login(line));
  }
  std::puts(line.c_str());
  std::fflush(stdout);
  return {};
}

verge::http::ServerOptions server_options(const Options& options, const verge::hub::Hub& hub, verge::hub::Api& api) {
  verge::http::ServerOptions server;
  server.address = options.address;
  server.port = options.port;
  server.max_connections = 16384;
  server.max_body_bytes = std::uint64_t{8} << 20U;  // Documents; blobs go into files.
  server.tls = verge::http::Tls{hub.server_certificate(), hub.server_key(), hub.authority_certificate()};
  server.body_folder = [&api](const verge::http::Request& head) { return api.body_folder(head); };
  server.file_limit = [&api](const verge::http::Request& head) { return api.file_limit(head); };
  server.too_large = [&api](const verge::http::Request& head, std::uint64_t limit_bytes) {
    return api.too_large(head, limit_bytes);
  };
  return server;
}

int run(const Options& options) {
  verge::Log log;
  const auto fail = [&](const verge::Error& error) {
    log.error("not started", {{"error", error.text()}});
    return verge::exit_status(error.code());
  };
  // Blocked before any thread starts, so that only sigtimedwait() below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  std::vector<std::string> names = options.names;
  if (options.address != "0.0.0.0" && options.address != "::") names.push_back(options.address);
  auto registry = options.registry;
  registry.grace_ms = options.grace_s * 1000;
  registry.collect_every_ms = options.collect_every_s * 1000;
  verge::hub::DeltaSetup deltas;
  deltas.largest_file_bytes = options.delta_limit_bytes;
  if (options.deltas) deltas.make = verge::hub::make_delta_apart;
  auto hub =
      verge::hub::Hub::open({options.data, names, now_ms, VERGE_VERSION, registry, deltas, options.telemetry}, log);
  if (!hub) return fail(hub.error());
  verge::hub::Api api(**hub, log, options.data / "uploads");
  auto server = verge::http::Server::start(server_options(options, **hub, api),
                                           [&](const verge::http::Request& request) { return api.handle(request); });
  if (!server) return fail(server.error());
  const auto url = url_of(options.address, (*server)->port());
  if (const auto shown = show_login(**hub, url); !shown) return fail(shown.error());
  log.info("ready", {{"url", url}});
  // Of its own: a collection of much garbage takes a while, and tick() must not wait for it.
  std::jthread collector([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      (*hub)->registry().collect_when_due();
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  });
  std::jthread delta_maker([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (!(*hub)->deltas().work(stop)) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  });
  for (;;) {
    const timespec second{0, 500'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &second);
    if (signal == SIGINT || signal == SIGTERM) {
      log.info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      break;
    }
    (*hub)->tick();
  }
  collector.request_stop();
  delta_maker.request_stop();
  (*hub)->stop();
  (*server)->stop(std::chrono::seconds(10));
  log.info("stopped");
  return 0;
}

verge::Result<std::string> passphrase_of(const BackupOptions& options) {
  constexpr std::uint64_t kLimitBytes = 4096;
  if (!options.passphrase_file.empty()) {
    VERGE_ASSIGN(auto text, verge::read_text(options.passphrase_file, kLimitBytes));
    text.erase(std::min(text.find('\n'), text.size()));
    return text;
  }
  if (const char* given = std::getenv("VERGE_BACKUP_PASSPHRASE"); given != nullptr) return std::string(given);
  return verge::Error(verge::ErrorCode::invalid_argument, "VRG-HUB-088",
                      "expected the backup's passphrase: give --passphrase-file, or VERGE_BACKUP_PASSPHRASE in the "
                      "environment");
}

verge::Result<void> back_up(const Options& options, const BackupOptions& backup) {
  VERGE_ASSIGN(const auto passphrase, passphrase_of(backup));
  VERGE_ASSIGN(const auto made, verge::hub::make_backup(options.data, backup.file, passphrase));
  fmt::print("{}: {} files, {:.1f} MB, encrypted with the passphrase\n", backup.file.string(), made.files,
             static_cast<double>(made.size_bytes) / 1e6);
  return {};
}

verge::Result<void> restore(const Options& options, const BackupOptions& backup) {
  VERGE_ASSIGN(const auto passphrase, passphrase_of(backup));
  VERGE_ASSIGN(const auto made, verge::hub::restore_backup(backup.file, options.data, passphrase, now_ms() / 1000));
  fmt::print(
      "{}: {} files, {:.1f} MB restored. Start the hub as before: verge-hub --data {}\n"
      "The fleet is frozen: devices keep what they run. Push and deploy what came after the backup, then: verge fleet "
      "thaw\n",
      options.data.string(), made.files, static_cast<double>(made.size_bytes) / 1e6, options.data.string());
  return {};
}

int finish(const verge::Result<void>& done) {
  if (done) return 0;
  std::fprintf(stderr, "verge-hub: %s\n", done.error().text().c_str());
  return verge::exit_status(done.error().code());
}

CLI::App* add_backup_verb(CLI::App& app, const char* name, const char* help, BackupOptions& options) {
  auto* verb = app.add_subcommand(name, help);
  verb->fallthrough();
  verb->add_option("FILE", options.file, "The backup")->required();
  verb->add_option("--passphrase-file", options.passphrase_file,
                   "File whose first line is the passphrase; else VERGE_BACKUP_PASSPHRASE");
  return verb;
}

void add_registry_options(CLI::App& app, Options& options) {
  app.add_option("--registry-quota", options.registry.quota_bytes,
                 "Most that the registry may hold, such as 200GiB; what repositories share counts once")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--repository-quota", options.registry.repository_quota_bytes,
                 "Most that each repository may hold, such as 20GiB")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--garbage-grace", options.grace_s,
                 "Seconds for which content that nothing needs is kept after it was pushed or asked for")
      ->check(CLI::Range(0, 31'536'000))
      ->capture_default_str();
  app.add_option("--garbage-interval", options.collect_every_s,
                 "Seconds between two collections of garbage; 0: only 'verge hub garbage-collect' collects")
      ->check(CLI::Range(0, 31'536'000))
      ->capture_default_str();
  app.add_flag("--remove-untagged", options.registry.remove_untagged,
               "Manifests without a tag are garbage too, unless an index names them or they are about another");
}

void add_delta_options(CLI::App& app, Options& options) {
  app.add_option("--deltas", options.deltas,
                 "Whether to make deltas from versions that devices have, so that less has to be sent")
      ->capture_default_str();
  app.add_option("--delta-limit", options.delta_limit_bytes,
                 "Largest file that deltas are made for, such as 256MiB; making one takes some four times as much "
                 "memory")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
}

void add_telemetry_options(CLI::App& app, Options& options) {
  app.add_option("--telemetry-days", options.telemetry.days, "Days for which samples of devices are kept")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  app.add_option("--telemetry-samples", options.telemetry.most_samples,
                 "Most samples that are kept of each device; the oldest make room")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && verge::hub::kMakeDelta == argv[1]) return verge::hub::make_delta_here(argc, argv);
  CLI::App app{
      "The centre of a fleet: keeps models and applications, enrols devices and tells them what to run.\n\nExample:\n"
      "  verge-hub --data /var/lib/verge-hub\n\n"
      "The first start makes certificates, keys and an administrator's token, and prints how to sign in.\n"
      "SIGTERM stops gracefully.",
      "verge-hub"};
  Options options;
  app.set_version_flag("--version", "verge-hub " VERGE_VERSION);
  app.add_option("--data", options.data, "Folder of everything that the hub keeps; made when absent")->required();
  app.add_option("--address", options.address, "Address to listen on; 0.0.0.0 for all")->capture_default_str();
  app.add_option("--port", options.port, "Port to listen on; 0: any that is free")->capture_default_str();
  app.add_option("--name", options.names, "Host name or address under which devices reach the hub; may be repeated");
  add_registry_options(app, options);
  add_delta_options(app, options);
  add_telemetry_options(app, options);
  BackupOptions backup;
  const auto* make = add_backup_verb(app, "backup", "Make an encrypted backup of --data; the hub may run", backup);
  const auto* bring_back = add_backup_verb(app, "restore", "Make the folder --data from a backup", backup);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*make) return finish(back_up(options, backup));
  if (*bring_back) return finish(restore(options, backup));
  return run(options);
}
