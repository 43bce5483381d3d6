#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include <dlfcn.h>

#include "engine_errors.hpp"
#include "isolation/isolated_session.hpp"
#include "session_state.hpp"
#include "verge/base/text.hpp"

namespace verge::processing {
namespace {

constexpr std::string_view kPrefix = "libverge_engine_";
constexpr std::string_view kSuffix = ".so";

bool is_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

/// The part of the ABI of major version 1 without which nothing runs.
bool is_complete(const verge_engine_api& api) {
  // What a plug-in does not know lies past its struct_size and must not be read.
  if (api.struct_size < offsetof(verge_engine_api, request_start)) return false;
  return api.name != nullptr && api.version != nullptr && api.formats != nullptr && api.session_create != nullptr &&
         api.session_destroy != nullptr && api.input_count != nullptr && api.output_count != nullptr &&
         api.input_info != nullptr && api.output_info != nullptr && api.request_create != nullptr &&
         api.request_destroy != nullptr && api.request_input != nullptr && api.request_output != nullptr &&
         api.request_run != nullptr;
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    out.emplace_back(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return out;
}

std::string in_quotes(std::string_view text) {
  return "'" + std::string(text) + "'";
}

Result<const verge_engine_api*> open(std::string_view name, const std::filesystem::path& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return Error(ErrorCode::unavailable, "VRG-ENG-003",
                 "engine " + in_quotes(name) + " is not usable: " + (reason == nullptr ? "it does not load" : reason) +
                     "; install the engine's own libraries (component engine_" + std::string(name) + ")");
  }
  const auto entry = reinterpret_cast<verge_engine_entry_function>(::dlsym(handle, "verge_engine_entry"));
  if (entry == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-ENG-003",
                 "engine " + in_quotes(name) + " is not usable: " + library.string() +
                     " is no engine plug-in (it lacks verge_engine_entry)");
  }
  const verge_engine_api* api = entry(VERGE_ENGINE_ABI_MAJOR);
  if (api == nullptr || api->abi_major != VERGE_ENGINE_ABI_MAJOR) {
    return Error(ErrorCode::failed_precondition, "VRG-ENG-002",
                 "engine " + in_quotes(name) + " was built for another version of the engine ABI: expected " +
                     std::to_string(VERGE_ENGINE_ABI_MAJOR) + ", got " +
                     (api == nullptr ? "one that refuses it" : std::to_string(api->abi_major)) +
                     "; install the plug-in that belongs to this program");
  }
  if (!is_complete(*api) || name != api->name) {
    return Error(ErrorCode::failed_precondition, "VRG-ENG-002",
                 "engine " + in_quotes(name) +
                     " is not usable: its table of functions is incomplete or another "
                     "engine's; install the plug-in that belongs to this program");
  }
  return api;
}

}  // namespace

struct EngineCatalogue::State {
  explicit State(std::filesystem::path path) : folder(std::move(path)) {}

  [[nodiscard]] std::filesystem::path library(std::string_view name) const {
    return folder / (std::string(kPrefix) + std::string(name) + std::string(kSuffix));
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const std::string file = at->path().filename().string();
      if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) continue;
      if (file.size() < kPrefix.size() + kSuffix.size()) continue;
      std::string name = file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
      if (is_name(name)) out.push_back(std::move(name));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  [[nodiscard]] Error unknown(std::string_view name) const {
    const std::vector<std::string> there = names();
    const std::vector<std::string_view> views(there.begin(), there.end());
    std::string text = "there is no engine " + in_quotes(name) + " in " + folder.string() + ": ";
    if (views.empty()) return {ErrorCode::not_found, "VRG-ENG-001", text + "the folder has none; install one"};
    if (const auto meant = nearest(name, views); !meant.empty()) text += "did you mean " + in_quotes(meant) + "? ";
    return {ErrorCode::not_found, "VRG-ENG-001", text + "there is " + one_of(views)};
  }

  Result<const verge_engine_api*> find(std::string_view name) {
    const std::lock_guard lock(mutex);
    if (const auto found = loaded.find(name); found != loaded.end()) return found->second;
    std::error_code error;
    if (!is_name(name) || !std::filesystem::exists(library(name), error)) return unknown(name);
    VERGE_ASSIGN(const verge_engine_api* api, open(name, library(name)));
    loaded.emplace(name, api);
    return api;
  }

  std::filesystem::path folder;
  std::mutex mutex;
  std::map<std::string, const verge_engine_api*, std::less<>> loaded;
};

EngineCatalogue::EngineCatalogue(std::filesystem::path folder) : state_(std::make_unique<State>(std::move(folder))) {}
EngineCatalogue::~EngineCatalogue() = default;

std::vector<std::string> EngineCatalogue::names() const {
  return state_->names();
}

std::string EngineCatalogue::fingerprint() const {
  std::string text;
  for (const auto& name : state_->names()) {
    std::error_code failed;
    const auto path = state_->library(name);
    const auto changed = std::filesystem::last_write_time(path, failed).time_since_epoch().count();
    text += (text.empty() ? "" : ",") + name + ":" + std::to_string(std::filesystem::file_size(path, failed)) + ":" +
            std::to_string(changed);
  }
  return text;
}

Result<EngineInfo> EngineCatalogue::info(std::string_view name) {
  VERGE_ASSIGN(const verge_engine_api* api, state_->find(name));
  return EngineInfo{api->name, api->version, split(api->formats), state_->library(name)};
}

namespace {

/// Lets the plug-in load the model in this process.
Result<verge_engine_session*> load_here(const verge_engine_api& api, const std::filesystem::path& model,
                                        const SessionOptions& options, const std::string& context) {
  std::vector<verge_engine_option> given;
  for (const auto& [key, value] : options.options) given.push_back({key.c_str(), value.c_str()});
  const std::string path = model.string();
  const std::string cache = options.cache_directory.string();
  verge_engine_load load{};
  load.struct_size = sizeof(load);
  load.model_path = path.c_str();
  load.format = options.format.c_str();
  load.device = options.device.empty() ? nullptr : options.device.c_str();
  load.delegate = options.delegate.empty() ? nullptr : options.delegate.c_str();
  load.threads = options.threads;
  load.max_requests = std::max(1U, options.max_requests);
  load.precision = static_cast<verge_engine_precision>(options.precision);
  load.cache_directory = cache.empty() ? nullptr : cache.c_str();
  load.options = given.data();
  load.option_count = given.size();
  load.profile = options.profile ? 1 : 0;
  verge_engine_error error{};
  verge_engine_session* session = nullptr;
  const auto status = api.session_create(&load, &session, &error);
  if (status != VERGE_ENGINE_OK) return engine_error(status, context, error.message);
  return session;
}

/// Lets a process of its own load it.
Result<isolation::IsolatedSession*> load_apart(std::string_view engine, const std::filesystem::path& folder,
                                               const std::filesystem::path& model, const SessionOptions& options,
                                               const std::string& context) {
  verge_engine_error error{};
  std::unique_ptr<isolation::IsolatedSession> session;
  const auto status = engines::at_boundary(&error, [&] {
    session = std::make_unique<isolation::IsolatedSession>(std::string(engine), folder, model, options);
  });
  if (status != VERGE_ENGINE_OK) return engine_error(status, context, error.message);
  return session.release();
}

}  // namespace

Result<std::shared_ptr<Session>> EngineCatalogue::load(std::string_view engine, const std::filesystem::path& model,
                                                       const SessionOptions& options) {
  auto state = std::make_unique<Session::State>();
  state->context = model.string() + " (engine " + in_quotes(engine) + ")";
  std::error_code error_code;
  if (options.isolation) {
    if (!is_name(engine) || !std::filesystem::exists(state_->library(engine), error_code)) {
      return state_->unknown(engine);
    }
  } else {
    VERGE_ASSIGN(state->api, state_->find(engine));
  }
  if (!std::filesystem::exists(model, error_code)) {
    return Error(ErrorCode::not_found, "VRG-ENG-004", state->context + ": there is no such model file");
  }
  if (options.isolation) {
    VERGE_ASSIGN(auto* const isolated, load_apart(engine, state_->folder, model, options, state->context));
    state->api = &isolated->api();
    state->session = reinterpret_cast<verge_engine_session*>(isolated);
    state->isolated = isolated;
  } else {
    const std::vector<std::string> formats = split(state->api->formats);
    if (std::find(formats.begin(), formats.end(), options.format) == formats.end()) {
      const std::vector<std::string_view> views(formats.begin(), formats.end());
      return Error(ErrorCode::unimplemented, "VRG-ENG-005",
                   state->context + ": the engine does not read the format " + in_quotes(options.format) +
                       ", it reads " + one_of(views) + "; convert the model or choose another engine");
    }
    VERGE_ASSIGN(state->session, load_here(*state->api, model, options, state->context));
  }
  VERGE_TRY(state->describe_tensors());
  return std::shared_ptr<Session>(new Session(std::move(state)));
}

std::filesystem::path default_engine_worker() {
  return (default_engine_folder() / ".." / "verge-engine-worker").lexically_normal();
}

std::filesystem::path default_engine_folder() {
  // The environment is read once by a program's start, before it has threads.
  if (const char* set = std::getenv("VERGE_ENGINE_PATH"); set != nullptr && set[0] != '\0') return set;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::array<std::filesystem::path, 3> candidates{program / "../lib/verge/engines",
                                                        program / ".." / VERGE_LIBRARY_FOLDER / "verge/engines",
                                                        VERGE_BUILD_ENGINE_FOLDER};
  for (const auto& candidate : candidates) {
    if (std::filesystem::is_directory(candidate, error)) return candidate.lexically_normal();
  }
  return candidates.front().lexically_normal();
}

}  // namespace verge::processing
