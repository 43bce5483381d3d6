// verge trust.
#include <unistd.h>

#include <iostream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "../hub/verbs.hpp"
#include "hub_exchange.hpp"
#include "signing_key.hpp"
#include "trust_report.hpp"

namespace verge::cli {
namespace {

struct TrustOptions : HubOptions {
  std::string folder;
  std::string passphrase_file;
  // key
  std::string file;
  std::string kind = "ed25519";
  // init
  std::vector<std::string> root, targets;
  std::int64_t root_threshold = 0, targets_threshold = 0;
  int root_days = 365, targets_days = 180;
  // rotate, delegate
  std::string role;
  std::vector<std::string> in, out, paths;
  std::int64_t threshold = 0;
  bool remove = false;
  // sign, fetch
  std::string key;
  bool yes = false;
  bool new_hub = false;
  [[nodiscard]] Passphrase passphrase() const { return Passphrase(passphrase_file); }
};

crypto::KeyKind kind_of(const std::string& name) {
  if (name == "ed25519") return crypto::KeyKind::ed25519;
  if (name == "ecdsa") return crypto::KeyKind::ecdsa_p256;
  return crypto::KeyKind::rsa;
}

Result<void> show_drafts(const TrustOptions& options, const trust::Ceremony& ceremony) {
  VERGE_ASSIGN(const auto drafts, ceremony.drafts());
  auto node = wire::Node::map();
  node.add("drafts", draft_node(drafts));
  show(options, node, [&] { return draft_text(drafts, false); });
  return {};
}

Result<trust::Signers> signers_of(const std::vector<std::string>& specs, std::int64_t threshold,
                                  const Passphrase& passphrase) {
  trust::Signers signers;
  for (const auto& spec : specs) {
    VERGE_ASSIGN(auto key, open_public_key(spec, passphrase));
    signers.keys.push_back(std::move(key));
  }
  signers.threshold = threshold > 0 ? threshold : 1;
  return signers;
}

Result<void> key(const TrustOptions& options) {
  VERGE_ASSIGN(const auto made, make_key(options.file, kind_of(options.kind), options.passphrase()));
  auto node = wire::Node::map();
  node.add("file", wire::Node::string(options.file));
  node.add("name", wire::Node::string(made.name));
  node.add("public_key", wire::Node::string(made.key.pem()));
  show(options, node, [&] {
    return fmt::format("Made {}, encrypted with the passphrase, and its public half {}; give that one to the ceremony",
                       options.file, std::filesystem::path(options.file).replace_extension(".pub").string());
  });
  return {};
}

Result<void> init(const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  VERGE_TRY(ceremony.set_lifetimes(options.root_days, options.targets_days));
  VERGE_ASSIGN(const auto targets, signers_of(options.targets, options.targets_threshold, options.passphrase()));
  VERGE_ASSIGN(const auto root, signers_of(options.root, options.root_threshold, options.passphrase()));
  if (!targets.keys.empty()) VERGE_TRY(ceremony.set_signers("targets", targets, now_s()));
  VERGE_TRY(ceremony.set_signers("root", root, now_s()));
  return show_drafts(options, ceremony);
}

Result<void> folder_status(const TrustOptions& options) {
  const trust::Ceremony ceremony(options.folder);
  VERGE_ASSIGN(const auto status, ceremony.status());
  VERGE_ASSIGN(const auto drafts, ceremony.drafts());
  auto node = wire::to_node(status);
  node.add("drafts", draft_node(drafts));
  show(options, node, [&] { return role_table(status) + "\n\n" + draft_text(drafts, false); });
  return {};
}

Result<void> hub_status(HubSession& hub, const TrustOptions& options) {
  VERGE_ASSIGN(const auto status, hub.read<wire::TrustStatus>("/api/v1/trust", wire::read_trust_status));
  VERGE_ASSIGN(const auto changes, read_trust_changes(hub));
  auto node = wire::to_node(status);
  node.add("changes", wire::Node::list_of(changes.changes, [](const auto& one) { return wire::to_node(one); }));
  show(options, node, [&] { return role_table(status) + "\n\n" + change_table(changes); });
  return {};
}

Result<void> status(const TrustOptions& options) {
  if (!options.folder.empty()) return folder_status(options);
  VERGE_ASSIGN(auto hub, HubSession::open());
  return hub_status(hub, options);
}

Result<void> fetch(HubSession& hub, const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  VERGE_TRY(fetch_ceremony(hub, ceremony, options.new_hub));
  return show_drafts(options, ceremony);
}

/// Snapshot and timestamp are the hub's: it makes their keys.
Result<trust::Signers> hub_signers(const std::string& role) {
  VERGE_ASSIGN(auto hub, HubSession::open());
  VERGE_ASSIGN(const auto node, hub.call("POST", "/api/v1/trust/keys/" + encode(role)));
  VERGE_ASSIGN(const auto made, wire::read_trust_key(node, wire::Place("key")));
  VERGE_ASSIGN(auto public_key, crypto::PublicKey::from_pem(made.public_key.value_or("")));
  return trust::Signers{{{"", std::move(public_key)}}, 1};
}

Error no_such_key(const std::string& role, const std::string& name, const trust::Signers& signers) {
  std::vector<std::string> known;
  for (const auto& one : signers.keys) known.push_back(trust::shown_name(one));
  return Error(ErrorCode::not_found, "VRG-CLI-042",
               fmt::format("expected a key of '{}' ({}), got '{}'", role, fmt::join(known, ", "), name));
}

Result<void> rotate(const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  VERGE_ASSIGN(auto signers, ceremony.signers(options.role));
  if (options.role == "snapshot" || options.role == "timestamp") {
    VERGE_ASSIGN(signers, hub_signers(options.role));
  } else {
    VERGE_ASSIGN(auto more, signers_of(options.in, 0, options.passphrase()));
    auto gone = options.out;
    if (gone.empty() && signers.keys.size() == 1 && !more.keys.empty())
      gone = {trust::shown_name(signers.keys.front())};
    for (const auto& name : gone) {
      const auto is_meant = [&](const trust::NamedKey& one) { return trust::is_called(one, name); };
      if (std::erase_if(signers.keys, is_meant) == 0) return no_such_key(options.role, name, signers);
    }
    std::ranges::move(more.keys, std::back_inserter(signers.keys));
    if (options.threshold > 0) signers.threshold = options.threshold;
  }
  VERGE_TRY(ceremony.set_signers(options.role, signers, now_s()));
  return show_drafts(options, ceremony);
}

Result<void> delegate(const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  if (options.remove) {
    VERGE_TRY(ceremony.end_delegation(options.role, now_s()));
    return show_drafts(options, ceremony);
  }
  VERGE_ASSIGN(const auto signers, signers_of(options.in, options.threshold, options.passphrase()));
  VERGE_TRY(ceremony.delegate(options.role, options.paths, signers, now_s()));
  return show_drafts(options, ceremony);
}

/// Asks on the terminal. Errors: invalid_argument (VRG-CLI-043) without one.
Result<bool> agreed(std::size_t files) {
  if (!is_terminal(STDIN_FILENO)) {
    return Error(ErrorCode::invalid_argument, "VRG-CLI-043",
                 "expected a terminal to ask on, got none; look at what is signed, then give --yes");
  }
  std::fprintf(stderr, "Sign %zu %s? [y/N] ", files, files == 1 ? "file" : "files");
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

Result<void> sign(const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  VERGE_ASSIGN(const auto key, open_private_key(options.key, options.passphrase()));
  VERGE_ASSIGN(const auto drafts, ceremony.drafts_for(key.public_key()));
  auto node = wire::Node::map();
  node.add("signed", draft_node(drafts));
  show(options, node, [&] {
    return drafts.empty()
               ? "Nothing waits for this key's signature; 'verge trust status FOLDER' says what waits for whose"
               : draft_text(drafts, true);
  });
  if (drafts.empty()) return {};
  if (!options.yes) {
    VERGE_ASSIGN(const bool yes, agreed(drafts.size()));
    if (!yes) return Error(ErrorCode::cancelled, "VRG-CLI-044", "nothing was signed");
  }
  VERGE_TRY(ceremony.sign(key));
  note(fmt::format("Signed {} {}", drafts.size(), drafts.size() == 1 ? "file" : "files"));
  return {};
}

Result<void> publish(HubSession& hub, const TrustOptions& options) {
  trust::Ceremony ceremony(options.folder);
  VERGE_ASSIGN(const auto settings, ceremony.settings());
  VERGE_ASSIGN(const auto ready, ceremony.publication());
  VERGE_TRY(publish_ceremony(hub, ready.files, settings.new_hub));
  for (const auto& file : ready.left_out) note(fmt::format("{} stays here: signatures are missing", file));
  VERGE_TRY(fetch_ceremony(hub, ceremony, false));
  VERGE_ASSIGN(const auto status, ceremony.status());
  show(options, wire::to_node(status), [&] {
    return fmt::format("In force now: {} {}\n\n{}", ready.files.size(), ready.files.size() == 1 ? "file" : "files",
                       role_table(status));
  });
  return {};
}

/// A verb that needs no hub.
std::pair<CLI::App*, std::shared_ptr<TrustOptions>> add_verb(CLI::App& group, Action& action, const char* name,
                                                             const char* help,
                                                             Result<void> (*command)(const TrustOptions&)) {
  auto* verb = group.add_subcommand(name, help);
  auto options = std::make_shared<TrustOptions>();
  verb->add_option("--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([options, command, &action] {
    action = [options, command] {
      const auto done = command(*options);
      return done ? 0 : report(done.error(), options->format());
    };
  });
  return {verb, options};
}

void add_folder(CLI::App* verb, TrustOptions& options) {
  verb->add_option("FOLDER", options.folder, "Folder of the ceremony")->required();
}

void add_passphrase(CLI::App* verb, TrustOptions& options) {
  verb->add_option("--passphrase-file", options.passphrase_file,
                   "File whose first line is the passphrase or PIN; else VERGE_TRUST_PASSPHRASE, else the terminal");
}

constexpr const char* kKeyHelp = "[NAME=]KEY: a public key (.pub), an encrypted private key, pkcs11:… or tpm2:…";

void add_making(CLI::App& trust, Action& action) {
  {
    auto [verb, o] = add_verb(trust, action, "key",
                              "Make a signing key in an encrypted file\n\nExample:\n  verge trust key alice.pem", key);
    verb->add_option("FILE", o->file, "File of the key; its public half goes beside it, with .pub")->required();
    verb->add_option("--kind", o->kind, "ed25519, ecdsa or rsa")
        ->check(CLI::IsMember({"ed25519", "ecdsa", "rsa"}))
        ->capture_default_str();
    add_passphrase(verb, *o);
  }
  {
    auto [verb, o] = add_verb(trust, action, "init",
                              "Stage that root and targets are signed by keys that the hub does not have\n\nExample:\n"
                              "  verge trust init ceremony --root alice.pub bob.pub carol.pub --root-threshold 2 "
                              "--targets dave.pub",
                              init);
    add_folder(verb, *o);
    verb->add_option("--root", o->root, kKeyHelp)->required();
    verb->add_option("--root-threshold", o->root_threshold, "So many of them must sign a root; 1 when absent");
    verb->add_option("--targets", o->targets, "The same for targets; the hub keeps that key when absent");
    verb->add_option("--targets-threshold", o->targets_threshold, "So many of them must sign targets; 1 when absent");
    verb->add_option("--root-days", o->root_days, "How long a root is good for")
        ->check(CLI::Range(1, 36500))
        ->capture_default_str();
    verb->add_option("--targets-days", o->targets_days, "How long targets are good for")
        ->check(CLI::Range(1, 36500))
        ->capture_default_str();
    add_passphrase(verb, *o);
  }
  {
    auto [verb, o] = add_verb(trust, action, "status",
                              "Roles, keys and what waits for whose signature: of a ceremony, or of the hub", status);
    verb->add_option("FOLDER", o->folder, "Folder of the ceremony; the hub when absent");
  }
}

void add_signing(CLI::App& trust, Action& action) {
  {
    auto [verb, o] = add_verb(trust, action, "rotate",
                              "Stage other keys for a role; a root is signed by the old keys and the new\n\nExample:\n"
                              "  verge trust rotate ceremony targets --in erin.pub --out dave",
                              rotate);
    add_folder(verb, *o);
    verb->add_option("ROLE", o->role,
                     "root, targets, a delegated role; snapshot or timestamp, whose keys the hub makes")
        ->required();
    verb->add_option("--in", o->in, kKeyHelp);
    verb->add_option("--out", o->out, "Name or id of a key that goes; the only one when absent");
    verb->add_option("--threshold", o->threshold, "So many must sign from then on; as before when absent");
    add_passphrase(verb, *o);
  }
  {
    auto [verb, o] = add_verb(trust, action, "delegate",
                              "Stage that others sign some of the targets\n\nExample:\n"
                              "  verge trust delegate ceremony detectors --paths 'models/detector/*' --in frank.pub "
                              "grace.pub --threshold 2",
                              delegate);
    add_folder(verb, *o);
    verb->add_option("ROLE", o->role, "Name of the role")->required();
    verb->add_option("--paths", o->paths, "Patterns of targets; '*' matches no '/'");
    verb->add_option("--in", o->in, kKeyHelp);
    verb->add_option("--threshold", o->threshold, "So many of them must sign; 1 when absent");
    verb->add_flag("--remove", o->remove, "End the delegation");
    add_passphrase(verb, *o);
  }
  {
    auto [verb, o] = add_verb(trust, action, "sign",
                              "Show what waits for a key's signature, ask, and sign\n\nExample:\n"
                              "  verge trust sign ceremony --key alice.pem",
                              sign);
    add_folder(verb, *o);
    verb->add_option("--key", o->key, "An encrypted private key, pkcs11:… or tpm2:…")->required();
    verb->add_flag("--yes", o->yes, "Sign without asking");
    add_passphrase(verb, *o);
  }
}

}  // namespace

void add_trust_commands(CLI::App& app, Action& action) {
  auto* trust = app.add_subcommand("trust", "Keys by which devices trust models: take them offline, sign, rotate");
  trust->require_subcommand(1);
  add_making(*trust, action);
  {
    auto [verb, o] = add_hub_verb<TrustOptions>(
        *trust, action, "fetch",
        "Bring a ceremony up to date with the hub, and stage what waits for a signature\n\nExample:\n"
        "  verge trust fetch ceremony",
        fetch);
    add_folder(verb, *o);
    verb->add_flag("--new-hub", o->new_hub, "The hub was lost: this one, with no device yet, is to take its place");
  }
  add_signing(*trust, action);
  {
    auto [verb, o] = add_hub_verb<TrustOptions>(
        *trust, action, "publish", "Put at the hub what is signed: it checks all of it as a device would, first",
        publish);
    add_folder(verb, *o);
  }
}

}  // namespace verge::cli
