// verge delta: makes, looks at and applies what turns one file into another.
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "output.hpp"
#include "verge/base/text.hpp"
#include "verge/delta/delta.hpp"

namespace verge::cli {
namespace {

using wire::Node;

struct DeltaOptions {
  std::string old, fresh, delta, output = "table";
  [[nodiscard]] Format format() const { return output == "json" ? Format::json : Format::table; }
};

/// An OpenVINO IR's weights are told by the description beside them.
delta::DescribedFile described(const std::string& path) {
  auto description = std::filesystem::path(path);
  description.replace_extension(".xml");
  const bool is_ir = path.ends_with(".bin") && std::filesystem::exists(description);
  return {path, is_ir ? description : std::filesystem::path()};
}

void print_summary(const delta::Summary& summary, std::uint64_t delta_bytes, Format format) {
  if (format == Format::json) {
    Node node = Node::map();
    node.add("old_size_bytes", Node::integer(static_cast<std::int64_t>(summary.old_size_bytes)));
    node.add("new_digest", Node::string(summary.new_digest));
    node.add("new_size_bytes", Node::integer(static_cast<std::int64_t>(summary.new_size_bytes)));
    node.add("delta_size_bytes", Node::integer(static_cast<std::int64_t>(delta_bytes)));
    print(wire::write_json(node));
    return;
  }
  const auto size = [](std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  const auto whole = static_cast<double>(std::max<std::uint64_t>(summary.new_size_bytes, 1));
  print(table({{"", "SIZE", "DIGEST"},
               {"old", size(summary.old_size_bytes), ""},
               {"new", size(summary.new_size_bytes), summary.new_digest},
               {"delta", size(delta_bytes),
                fmt::format("{:.1f} % of the new file", 100 * static_cast<double>(delta_bytes) / whole)}}));
}

Result<void> create(const DeltaOptions& options) {
  VERGE_TRY(delta::make_file(described(options.old), described(options.fresh), options.delta));
  VERGE_ASSIGN(const auto source, delta::open_source(options.delta));
  VERGE_ASSIGN(const auto summary, delta::read_summary(source));
  print_summary(summary, source.size_bytes, options.format());
  return {};
}

Result<void> inspect(const DeltaOptions& options) {
  VERGE_ASSIGN(const auto source, delta::open_source(options.delta));
  VERGE_ASSIGN(const auto summary, delta::read_summary(source));
  print_summary(summary, source.size_bytes, options.format());
  return {};
}

Result<void> apply(const DeltaOptions& options) {
  VERGE_ASSIGN(const auto old, delta::open_source(options.old));
  VERGE_ASSIGN(const auto source, delta::open_source(options.delta));
  const std::filesystem::path part = options.fresh + ".part";
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> out(std::fopen(part.c_str(), "wb"));
  const auto cannot_write = [&] {
    return Error(
        ErrorCode::unavailable, "VRG-CLI-019",
        fmt::format("cannot write '{}': {}", part.string(), std::error_code(errno, std::generic_category()).message()));
  };
  if (out == nullptr) return cannot_write();
  auto applied = delta::apply(old, source, [&](std::span<const std::byte> bytes) -> Result<void> {
    if (std::fwrite(bytes.data(), 1, bytes.size(), out.get()) != bytes.size()) return cannot_write();
    return {};
  });
  if (applied && std::fflush(out.get()) != 0) applied = cannot_write();
  out.reset();
  std::error_code failed;
  if (applied) std::filesystem::rename(part, options.fresh, failed);
  if (applied && failed) applied = cannot_write();
  if (!applied) std::filesystem::remove(part, failed);
  return applied;
}

}  // namespace

void add_delta_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("delta", "Make and apply what turns one version of a model file into another");
  group->require_subcommand(1);
  auto options = std::make_shared<DeltaOptions>();
  const auto verb = [&](const char* name, const char* description, Result<void> (*run)(const DeltaOptions&)) {
    auto* added = group->add_subcommand(name, description);
    added->add_option("--output", options->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    added->callback([options, &action, run] {
      action = [options, run] {
        const auto result = run(*options);
        return result ? 0 : report(result.error(), options->format());
      };
    });
    return added;
  };
  auto* make = verb("create", "Make a delta", create);
  make->add_option("OLD", options->old, "File that the device has")->required();
  make->add_option("NEW", options->fresh, "File that it shall have")->required();
  make->add_option("DELTA", options->delta, "File to write")->required();
  auto* use = verb("apply", "Make the new file from the old one and a delta", apply);
  use->add_option("OLD", options->old, "File that is there")->required();
  use->add_option("DELTA", options->delta, "The delta")->required();
  use->add_option("NEW", options->fresh, "File to write")->required();
  verb("inspect", "Say what a delta is for", inspect)->add_option("DELTA", options->delta, "The delta")->required();
}

}  // namespace verge::cli
