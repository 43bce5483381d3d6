// A plug-in as its host sees it, and the models that the conformance suite runs in it.
#pragma once

#include <filesystem>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "verge/engines/abi.h"

namespace verge::test {

/// What the conformance suite knows of an engine.
struct EngineCase {
  std::string name;
  std::string format;
  std::string model;  ///< Under the test data; for "fake" the text of the model itself.
  /// Its first input's first dimension is variable; same first input otherwise. Empty: the engine's shapes are fixed.
  std::string variable_model;
  bool needs_data = true;
  std::string inputs = {};           ///< The option "inputs", for files that do not say what they take.
  std::string variable_inputs = {};  ///< The same for the variable model.
};
const std::vector<EngineCase>& engine_cases();
inline std::string case_name(const EngineCase& engine) {
  return engine.name;
}
/// Prints the name, not the bytes, in test listings.
inline void PrintTo(const EngineCase& engine, std::ostream* out) {
  *out << engine.name;
}

/// The plug-in's table, or null when this build has no such engine.
const verge_engine_api* load_plugin(const std::string& name);
/// The entry function itself.
verge_engine_entry_function plugin_entry(const std::string& name);

/// A loaded model; unloads it.
struct SessionHolder {
  const verge_engine_api* api = nullptr;
  verge_engine_session* session = nullptr;
  verge_engine_status status = VERGE_ENGINE_OK;
  verge_engine_error error{};

  SessionHolder(const verge_engine_api* table, const verge_engine_load& load) : api(table) {
    status = api->session_create(&load, &session, &error);
  }
  SessionHolder(const SessionHolder&) = delete;
  SessionHolder& operator=(const SessionHolder&) = delete;
  ~SessionHolder() {
    if (session != nullptr) api->session_destroy(session);
  }
};

struct RequestHolder {
  const verge_engine_api* api = nullptr;
  verge_engine_request* request = nullptr;
  verge_engine_error error{};

  /// Throws when the session is none, so that its test fails and the next one runs.
  explicit RequestHolder(SessionHolder& session) : api(session.api) {
    if (session.session == nullptr) throw std::runtime_error(session.error.message);
    api->request_create(session.session, &request, &error);
  }
  RequestHolder(const RequestHolder&) = delete;
  RequestHolder& operator=(const RequestHolder&) = delete;
  ~RequestHolder() {
    if (request != nullptr) api->request_destroy(request);
  }
  [[nodiscard]] verge_engine_tensor input(std::uint32_t index);
  [[nodiscard]] verge_engine_tensor output(std::uint32_t index);
};

verge_engine_load load_of(const std::string& path, const std::string& format);
/// Fills with a pattern that depends on `seed`: bytes for integers, numbers of [0, 1) for floats.
void fill(const verge_engine_tensor& tensor, unsigned seed);
std::vector<unsigned char> bytes_of(const verge_engine_tensor& tensor);

}  // namespace verge::test
