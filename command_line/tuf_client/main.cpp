// verge-tuf-client: the TUF client as a program, in the protocol of the tuf-conformance suite
// (https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md).
#include <cstdio>
#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "repository_access.hpp"
#include "verge/base/file.hpp"

namespace {

using verge::Result;
using verge::tuf_client::FolderStore;
using verge::tuf_client::UrlSource;

struct Options {
  std::string metadata_dir;
  std::string metadata_url;
  std::string trusted_root;
  std::vector<std::string> target_names;
  std::string target_dir;
  std::string target_base_url;
};

std::int64_t now_s() {
  return std::time(nullptr);
}

Result<void> init(const Options& options) {
  FolderStore store(options.metadata_dir);
  VERGE_ASSIGN(const std::string root, verge::read_text(options.trusted_root, verge::trust::kRootLimitBytes));
  VERGE_TRY(verge::trust::Client::open(store, root));
  return {};
}

Result<void> fetch_target(const Options& options, verge::trust::Client& client, UrlSource& metadata, UrlSource& targets,
                          const std::string& name) {
  VERGE_ASSIGN(const auto target, client.target(metadata, name, now_s()));
  const auto path = std::filesystem::path(options.target_dir) / verge::tuf_client::target_file_name(name);
  const auto kept = verge::read_text(path, target.length_bytes);
  if (kept && verge::trust::check_target(target, *kept)) return {};
  const auto url_path = verge::tuf_client::target_url_path(target, client.consistent_snapshot());
  VERGE_ASSIGN(const std::string content, targets.fetch(url_path, target.length_bytes));
  VERGE_TRY(verge::trust::check_target(target, content));
  return verge::write_file(path, std::string_view(content));
}

Result<void> refresh(const Options& options, bool download) {
  FolderStore store(options.metadata_dir);
  VERGE_ASSIGN(auto client, verge::trust::Client::open(store, ""));
  VERGE_ASSIGN(auto metadata, UrlSource::open(options.metadata_url));
  VERGE_TRY(client.refresh(metadata, now_s()));
  if (!download) return {};
  VERGE_ASSIGN(auto targets, UrlSource::open(options.target_base_url));
  for (const auto& name : options.target_names) {
    if (auto done = fetch_target(options, client, metadata, targets, name); !done) {
      return verge::in("target '" + name + "'", std::move(done));
    }
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Client of The Update Framework: refreshes trusted metadata and fetches targets.", "verge-tuf-client"};
  Options options;
  app.require_subcommand(1);
  app.add_option("--metadata-dir", options.metadata_dir, "Folder of trusted metadata")->required();
  auto* url = app.add_option("--metadata-url", options.metadata_url, "Where the repository's metadata is");
  auto* names = app.add_option("--target-name", options.target_names, "Target to fetch; several in turn")
                    ->allow_extra_args(false);
  auto* folder = app.add_option("--target-dir", options.target_dir, "Folder for what is fetched");
  auto* base = app.add_option("--target-base-url", options.target_base_url, "Where the repository's targets are");
  auto* init_command = app.add_subcommand("init", "Trust a root");
  init_command->add_option("ROOT", options.trusted_root, "File of the root metadata")->required();
  auto* refresh_command = app.add_subcommand("refresh", "Fetch and check the newest metadata");
  auto* download_command = app.add_subcommand("download", "Refresh, then fetch targets");
  try {
    app.parse(argc, argv);
    if (!*init_command && !*url) throw CLI::RequiredError("--metadata-url");
    if (*download_command && (!*names || !*folder || !*base)) {
      throw CLI::RequiredError("--target-name, --target-dir and --target-base-url");
    }
    const auto done = *init_command ? init(options) : refresh(options, !*refresh_command);
    if (done) return 0;
    std::fprintf(stderr, "verge-tuf-client: %s\n", done.error().text().c_str());
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "verge-tuf-client: internal error: %s; please report it\n", error.what());
  }
  return 1;
}
