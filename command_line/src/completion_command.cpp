#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.hpp"
#include "output.hpp"

namespace verge::cli {
namespace {

/// Verbs and options of one command, separated by spaces.
std::string words(const CLI::App& app) {
  std::string out;
  for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) out += verb->get_name() + " ";
  for (const auto* option : app.get_options([](const CLI::Option*) { return true; })) {
    for (const auto& name : option->get_lnames()) out += "--" + name + " ";
  }
  return out;
}

void add_cases(const CLI::App& app, const std::string& path, std::string& cases) {
  cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", path, words(app));
  for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    add_cases(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), cases);
  }
}

void add_verbs(const CLI::App& app, std::set<std::string>& verbs) {
  for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs.insert(verb->get_name());
    add_verbs(*verb, verbs);
  }
}

std::string bash_script(const CLI::App& app) {
  std::string cases;
  add_cases(app, "", cases);
  std::set<std::string> verbs;
  add_verbs(app, verbs);
  return fmt::format(R"(_verge() {{
  local word path="" words=""
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in {}) path="${{path:+$path }}$word" ;; esac
  done
  case "$path" in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
  [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _verge verge)",
                     fmt::join(verbs, "|"), cases);
}

void add_fish(const CLI::App& app, const std::string& condition, std::string& out) {
  for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    out += fmt::format("complete -c verge -n '{}' -a {}\n", condition, verb->get_name());
    for (const auto* option : verb->get_options([](const CLI::Option*) { return true; })) {
      for (const auto& name : option->get_lnames()) {
        out += fmt::format("complete -c verge -n '__fish_seen_subcommand_from {}' -l {}\n", verb->get_name(), name);
      }
    }
    add_fish(*verb, "__fish_seen_subcommand_from " + verb->get_name(), out);
  }
}

int print_completion(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") {
    std::string out;
    add_fish(app, "__fish_use_subcommand", out);
    print(out);
  } else {
    print((shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "") + bash_script(app));
  }
  return 0;
}

}  // namespace

void add_completion_command(CLI::App& app, Action& action) {
  auto* verb = app.add_subcommand("completion",
                                  "Print a shell's completion script\n\nExample:\n  source <(verge completion bash)");
  auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->callback([shell, &app, &action] { action = [shell, &app] { return print_completion(app, *shell); }; });
}

}  // namespace verge::cli
