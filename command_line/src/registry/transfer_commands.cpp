// verge package push, pull and copy: packages to and from any registry.
#include "transfer_commands.hpp"

#include <map>
#include <memory>

#include <fmt/format.h>

#include "../output.hpp"
#include "place.hpp"
#include "verge/base/file.hpp"
#include "verge/base/text.hpp"
#include "verge/package/image_layout.hpp"
#include "verge/processing/golden_replay.hpp"
#include "verge/registry_client/copy.hpp"
#include "verge/registry_client/layout.hpp"
#include "verge/registry_client/package_source.hpp"

namespace verge::cli {
namespace {

using registry_client::CopyOptions;
using registry_client::CopyReport;
using wire::Node;

struct TransferOptions {
  std::string from, to, output = "table";
  AccessOptions access, to_access;
  bool referrers = false;
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

CopyOptions copy_options(const std::filesystem::path& scratch, Progress& progress) {
  CopyOptions options;
  options.scratch = scratch;
  options.progress = [&progress](std::string_view what, std::uint64_t done, std::uint64_t total) {
    progress.show(fmt::format("{}: {} of {}", what, human_bytes(static_cast<double>(done)),
                              human_bytes(static_cast<double>(total))));
  };
  return options;
}

/// `place`: where it is now, as it can be written again.
void print_report(const CopyReport& report, const std::string& place, const TransferOptions& options) {
  if (options.format() == Format::json) {
    Node node = Node::map();
    node.add("place", Node::string(place));
    node.add("digest", Node::string(report.digest));
    node.add("sent_bytes", Node::integer(static_cast<std::int64_t>(report.sent_bytes)));
    node.add("present_bytes", Node::integer(static_cast<std::int64_t>(report.present_bytes)));
    node.add("referrers", Node::integer(static_cast<std::int64_t>(report.referrers)));
    print(wire::write_json(node));
    return;
  }
  const auto size = [](std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  print(fmt::format("{}\n{}\n{} moved, {} were there{}", place, report.digest, size(report.sent_bytes),
                    size(report.present_bytes),
                    report.referrers == 0 ? "" : fmt::format("; {} about it", report.referrers)));
}

/// A package folder or a layout, checked, as what is pushed.
struct Checked {
  std::unique_ptr<registry_client::ArtifactSource> source;
  std::string digest;
  std::string version;
};

Result<Checked> open_checked(const std::string& path, const std::filesystem::path& scratch) {
  VERGE_ASSIGN(auto package, package::open(path, scratch));
  VERGE_TRY(processing::check_processing(package));
  Checked checked;
  checked.digest = package.digest;
  checked.version = package.metadata.version;
  auto layout = path;
  if (!std::filesystem::exists(layout)) layout.resize(std::min(layout.find("@sha256:"), layout.rfind(':')));
  if (package::is_layout(layout)) {
    VERGE_ASSIGN(checked.source, registry_client::open_layout(layout));
  } else {
    checked.source = registry_client::make_package_source(std::move(package));
  }
  return checked;
}

Result<void> push(const TransferOptions& options) {
  VERGE_ASSIGN(auto reference, registry_client::parse_reference(options.to));
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-push-"));
  VERGE_ASSIGN(const auto package, open_checked(options.from, scratch.path()));
  if (!reference.digest.empty() && reference.digest != package.digest) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-071",
                 fmt::format("expected the package {}, got '{}', which is {}; leave the digest out to push it",
                             reference.digest, options.from, package.digest));
  }
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = package.version;
  VERGE_ASSIGN(const auto registry, open_registry(reference, options.access));
  Progress progress;
  VERGE_ASSIGN(const auto report, registry_client::copy(*package.source, package.digest, *registry, reference.tag,
                                                        copy_options(scratch.path(), progress)));
  progress.clear();
  print_report(report, reference.text(), options);
  return {};
}

/// The files of a verified layout into a new folder; what they were in the layout is gone then.
Result<void> move_out(const package::VerifiedLayout& verified, const std::filesystem::path& folder) {
  std::map<std::string, int> uses;
  for (const auto& file : verified.files) ++uses[file.digest];
  for (const auto& file : verified.files) {
    VERGE_ASSIGN(const auto path, path_inside(folder, file.path));
    const auto blob = verified.layout / "blobs" / "sha256" / file.digest.substr(file.digest.find(':') + 1);
    std::error_code failed;
    std::filesystem::create_directories(path.parent_path(), failed);
    if (!failed && --uses[file.digest] > 0) {
      std::filesystem::copy_file(blob, path, failed);
    } else if (!failed) {
      std::filesystem::rename(blob, path, failed);
    }
    if (failed) {
      return Error(ErrorCode::unavailable, "VRG-BAS-001",
                   fmt::format("cannot write '{}': {}", path.string(), failed.message()));
    }
  }
  return {};
}

Result<void> pull(const TransferOptions& options) {
  VERGE_ASSIGN(const auto reference, registry_client::parse_reference(options.from));
  const std::filesystem::path folder(options.to);
  std::error_code failed;
  if (std::filesystem::exists(folder, failed) && !std::filesystem::is_empty(folder, failed)) {
    return Error(
        ErrorCode::already_exists, "VRG-CLI-072",
        fmt::format("expected a new or empty folder, got '{}', which holds something; name another one", options.to));
  }
  VERGE_ASSIGN(const auto registry, open_registry(reference, options.access));
  VERGE_ASSIGN(const auto artifact, registry->artifact(reference.wanted()));
  VERGE_TRY(package::read_manifest(artifact.content, reference.text()));  // Before anything large comes.
  // A pull that breaks off goes on here.
  const std::filesystem::path work = options.to + ".pulling";
  VERGE_ASSIGN(const auto layout, registry_client::open_layout(work));
  Progress progress;
  VERGE_ASSIGN(const auto report,
               registry_client::copy(*registry, artifact, *layout, "", copy_options(work / "incoming", progress)));
  progress.clear();
  VERGE_ASSIGN(const auto verified, package::verify_layout(work, report.digest));
  const auto fresh = work / "package";
  VERGE_TRY(move_out(verified, fresh));
  VERGE_TRY(package::open_folder(fresh));
  std::filesystem::remove(folder, failed);
  std::filesystem::rename(fresh, folder, failed);
  if (failed) {
    return Error(ErrorCode::unavailable, "VRG-BAS-001",
                 fmt::format("cannot make the folder '{}': {}", folder.string(), failed.message()));
  }
  std::filesystem::remove_all(work, failed);
  print_report(report, options.to, options);
  return {};
}

Result<void> copy(const TransferOptions& options) {
  if (options.access.password_stdin && options.to_access.password_stdin) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-070",
                 "expected one password on standard input, got two; keep one in a file: --from-credentials");
  }
  VERGE_ASSIGN(auto from, open_place(options.from, options.access));
  VERGE_ASSIGN(auto to, open_place(options.to, options.to_access));
  const auto wanted = from.wanted.empty() ? std::string("latest") : from.wanted;
  if (from.wanted.empty() && !from.layout.empty()) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-073",
                 fmt::format("expected a tag or a digest of '{}', got none; write oci:FOLDER:TAG", options.from));
  }
  VERGE_ASSIGN(const auto artifact, from.store->artifact(wanted));
  if (!to.digest.empty() && to.digest != artifact.digest) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-071",
                 fmt::format("expected {} to be copied, got '{}', which is {}; leave the digest out", to.digest,
                             options.from, artifact.digest));
  }
  std::string tag = to.digest.empty() ? to.wanted : "";
  if (to.wanted.empty() && wanted != artifact.digest) tag = wanted;
  VERGE_ASSIGN(const TemporaryFolder scratch, TemporaryFolder::create("verge-copy-"));
  Progress progress;
  auto how = copy_options(to.layout.empty() ? scratch.path() : to.layout / "incoming", progress);
  how.referrers = options.referrers;
  VERGE_ASSIGN(const auto report, registry_client::copy(*from.store, artifact, *to.store, tag, how));
  progress.clear();
  if (!to.layout.empty()) {
    std::error_code ignored;
    std::filesystem::remove(how.scratch, ignored);
  }
  print_report(report, to.store->name() + (tag.empty() ? "@" + report.digest : ":" + tag), options);
  return {};
}

}  // namespace

void add_transfer_commands(CLI::App& group, Action& action) {
  const auto add = [&](const char* name, const char* help, Result<void> (*command)(const TransferOptions&)) {
    auto* verb = group.add_subcommand(name, help);
    auto o = std::make_shared<TransferOptions>();
    verb->add_option("--output", o->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    verb->callback([o, command, &action] {
      action = [o, command] {
        const auto result = command(*o);
        return result ? 0 : report(result.error(), o->format());
      };
    });
    return std::pair(verb, o);
  };
  {
    auto [verb, o] = add("push",
                         "Push a package into a registry; a hub is one, too\n\nExample:\n"
                         "  verge package push models/mobilenet ghcr.io/team/mobilenet",
                         push);
    verb->add_option("PACKAGE", o->from, "Package folder, or layout[:VERSION]")->required();
    verb->add_option("REFERENCE", o->to, "REGISTRY/REPOSITORY[:TAG]; the tag is the version when absent")->required();
    verb->add_option("--chunk-bytes", o->access.chunk_bytes,
                     "Send files in pieces of so many bytes, for a registry that takes no more at once");
    add_access_options(*verb, o->access);
  }
  {
    auto [verb, o] = add("pull",
                         "Pull a package from a registry into a new package folder\n\nExample:\n"
                         "  verge package pull ghcr.io/team/mobilenet:1.0.0 models/mobilenet",
                         pull);
    verb->add_option("REFERENCE", o->from, "REGISTRY/REPOSITORY[:TAG][@DIGEST]")->required();
    verb->add_option("FOLDER", o->to, "New folder")->required();
    add_access_options(*verb, o->access);
  }
  {
    auto [verb, o] = add("copy",
                         "Copy a package, or any other artifact, between registries and image layouts\n\nExample:\n"
                         "  verge package copy ghcr.io/team/cat:1.0.0 registry.plant:5000/cat:1.0.0 --referrers\n"
                         "  verge package copy ghcr.io/team/cat:1.0.0 oci:cat.oci",
                         copy);
    verb->add_option("FROM", o->from, "REGISTRY/REPOSITORY[:TAG][@DIGEST], or oci:FOLDER:TAG")->required();
    verb->add_option("TO", o->to, "The same; the tag stays when absent")->required();
    verb->add_flag("--referrers", o->referrers, "Take along what is about it: deltas, signatures");
    add_access_options(*verb, o->access, "from-");
    add_access_options(*verb, o->to_access, "to-");
  }
}

}  // namespace verge::cli
