#include <memory>

#include <fmt/format.h>

#include "commands.hpp"
#include "output.hpp"
#include "verge/processing/engine.hpp"

namespace verge::cli {
namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

int list_engines(Format format) {
  processing::EngineCatalogue engines(processing::default_engine_folder());
  std::vector<std::vector<std::string>> rows{{"ENGINE", "VERSION", "FORMATS"}};
  wire::Node list = wire::Node::list();
  for (const auto& engine : engines.names()) {
    const auto info = engines.info(engine);
    wire::Node node = wire::Node::map();
    node.add("name", wire::Node::string(engine));
    if (info) {
      rows.push_back({engine, info->version, joined(info->formats)});
      node.add("version", wire::Node::string(info->version));
      node.add("formats", wire::Node::list_of(info->formats, [](const auto& f) { return wire::Node::string(f); }));
    } else {
      rows.push_back({engine, "-", "not usable: " + info.error().text()});
      node.add("error", wire::Node::string(info.error().text()));
    }
    list.items.push_back(std::move(node));
  }
  if (rows.size() == 1) {
    return report(Error(ErrorCode::not_found, "VRG-ENG-001",
                        fmt::format("no engines in '{}'; set VERGE_ENGINE_PATH or install one",
                                    processing::default_engine_folder().string())),
                  format);
  }
  print(format == Format::json ? wire::write_json(list) : table(rows));
  return 0;
}

}  // namespace

void add_engines_command(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("engines", "List the engines of this machine and what they read");
  auto json = std::make_shared<std::string>("table");
  verb->add_option("--output", *json, "table or json")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
  verb->callback(
      [json, &action] { action = [json] { return list_engines(*json == "json" ? Format::json : Format::table); }; });
}

}  // namespace verge::cli
