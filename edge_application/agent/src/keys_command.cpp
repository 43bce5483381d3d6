#include "keys_command.hpp"

#include <charconv>
#include <cstdio>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "at_rest.hpp"
#include "spools.hpp"
#include "verge/spool/stored.hpp"

namespace verge::agent {
namespace {

Error wrong_register(const std::string& text) {
  return Error(ErrorCode::invalid_argument, "VRG-RST-019",
               fmt::format("expected NUMBER=VALUE with a register from 0 to 23 and 64 hexadecimal digits, got '{}'; "
                           "'tpm2_pcrread sha256' prints the present ones",
                           text));
}

/// "7=<64 hexadecimal digits>".
Result<std::pair<unsigned, at_rest::Register>> register_of(const std::string& text) {
  constexpr unsigned kHighest = 23;
  std::pair<unsigned, at_rest::Register> found{};
  const auto* const end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, found.first);
  if (failed != std::errc() || at == end || *at != '=' || found.first > kHighest) return wrong_register(text);
  const std::string_view digits(at + 1, static_cast<std::size_t>(end - at - 1));
  if (digits.size() != found.second.size() * 2) return wrong_register(text);
  for (std::size_t i = 0; i < found.second.size(); ++i) {
    unsigned byte = 0;
    const auto* const pair = digits.data() + 2 * i;
    const auto read = std::from_chars(pair, pair + 2, byte, 16);
    if (read.ec != std::errc() || read.ptr != pair + 2) return wrong_register(text);
    found.second.at(i) = static_cast<std::byte>(byte);
  }
  return found;
}

void print_status(const at_rest::KeyStore& store) {
  const auto& document = store.document();
  if (document.tpm) {
    fmt::print("key       sealed by the TPM at {}\n", document.tpm->tcti);
    fmt::print("registers {}\n", document.tpm->pcrs.empty() ? "none: suspended until the next boot"
                                                            : fmt::format("{}", fmt::join(document.tpm->pcrs, ", ")));
  } else {
    fmt::print("key       in the file {}\n", document.key_file.value_or(""));
  }
  for (const auto& key : document.data_keys) {
    fmt::print("data key  {} made {:%Y-%m-%d}{}\n", key.id, fmt::gmtime(static_cast<std::time_t>(key.made_ms / 1000)),
               &key == &document.data_keys.back() ? "" : ", still needed: start the agent to encrypt its files anew");
  }
  if (const auto warning = store.warning(); !warning.empty()) fmt::print("warning   {}\n", warning);
}

Result<void> reset(const std::filesystem::path& state_directory) {
  VERGE_TRY(at_rest::KeyStore::remove(keys_folder(state_directory)));
  update::DiskFiles disk(state_directory);
  VERGE_TRY(update::clear_store(disk));
  VERGE_ASSIGN(const auto spools, spool::folders_below(real_file_system(), spools_folder(state_directory).string()));
  for (const auto& folder : spools) VERGE_TRY(spool::remove(real_file_system(), folder));
  fmt::print("the keys and what they had encrypted are removed; start the agent: the hub sends the models again\n");
  return {};
}

Result<void> carry_out(const wire::EdgeConfig& configuration, const KeysOrder& order) {
  if (!configuration.state_directory || !at_rest::KeyStore::exists(keys_folder(*configuration.state_directory))) {
    return Error(
        ErrorCode::failed_precondition, "VRG-RST-020",
        "there are no keys in the state directory; they are made when the agent starts with 'at_rest: key: tpm' (or "
        "'file') in its configuration");
  }
  const std::filesystem::path state_directory = *configuration.state_directory;
  if (order.what == "reset") return reset(state_directory);
  std::map<unsigned, at_rest::Register> expected;
  for (const auto& text : order.expected) {
    VERGE_ASSIGN(const auto one, register_of(text));
    expected.insert(one);
  }
  VERGE_ASSIGN(const auto store, at_rest::KeyStore::open(keys_folder(state_directory)));
  if (order.what == "status") {
    print_status(*store);
  } else if (order.what == "rotate") {
    VERGE_TRY(store->rotate());
    fmt::print("there is a new data key; start the agent: it encrypts what is stored anew\n");
  } else if (order.what == "suspend") {
    VERGE_TRY(store->suspend());
    fmt::print("the key is bound to no register until the next boot; change the firmware now and boot\n");
  } else {
    VERGE_TRY(store->reseal(key_store_options(configuration.at_rest.value_or(wire::AtRest{})).pcrs, expected));
    fmt::print("the key is sealed anew\n");
  }
  return {};
}

}  // namespace

int run_keys_command(const wire::EdgeConfig& configuration, const KeysOrder& order) {
  const auto done = carry_out(configuration, order);
  if (done) return 0;
  fmt::print(stderr, "verge-agent: {}\n", done.error().text());
  return exit_status(done.error().code());
}

}  // namespace verge::agent
