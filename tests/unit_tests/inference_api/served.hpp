// A router with models of the engine "fake", asked without a network.
#pragma once

#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "../model/fake_package.hpp"
#include "verge/inference_api/router.hpp"

namespace verge::inference_api::test {

using nlohmann::json;
using processing::test::Bytes;
using processing::test::FakePackage;

class Served : public processing::test::WithFakeEngine {
 protected:
  Served()
      : metrics_(telemetry::DeviceInfo{}, "1.2.3"),
        service_(repository_, memory_, nullptr, "1.2.3"),
        router_(service_, metrics_) {}

  /// Serves these models from now on, each under its package's name.
  void serve(const std::vector<FakePackage>& packages, std::size_t workers = 1, std::size_t max_waiting = 4) {
    ModelRepository::Models models;
    for (const auto& package : packages) {
      processing::LoadOptions options;
      options.max_workers = static_cast<unsigned>(workers);
      const auto model = load(package, options);
      ASSERT_TRUE(model) << model.error().text();
      auto served = std::make_shared<ServedModel>();
      served->name = package.name;
      served->metrics = metrics_.model(package.name, package.version, "fake");
      auto pool = processing::WorkerPool::create(*model, workers, max_waiting);
      ASSERT_TRUE(pool);
      served->workers = std::move(*pool);
      models[package.name] = std::move(served);
    }
    repository_.replace(std::move(models));
  }

  http::Response ask(std::string_view method, std::string_view path, std::string_view body = {},
                     const std::map<std::string, std::string>& headers = {}) const {
    http::Request request;
    request.method = method;
    request.path = path;
    request.body = std::as_bytes(std::span(body.data(), body.size()));
    request.header = [&](std::string_view name) -> std::string_view {
      const auto found = headers.find(std::string(name));
      return found == headers.end() ? std::string_view() : found->second;
    };
    auto response = router_.handle(request);
    for (const auto bytes : response.attached)
      response.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    response.attached.clear();
    response.keep.reset();
    return response;
  }
  http::Response get(std::string_view path) const { return ask("GET", path); }
  http::Response post(std::string_view path, std::string_view body,
                      const std::map<std::string, std::string>& headers = {}) const {
    return ask("POST", path, body, headers);
  }
  static std::string error(const http::Response& response) {
    const auto body = json::parse(response.body, nullptr, false);
    return body.is_object() && body.contains("error") ? body["error"].get<std::string>() : "(no error)";
  }
  static std::string text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

  telemetry::Metrics metrics_;
  ModelRepository repository_;
  SharedMemory memory_{std::uint64_t{64} << 20U};
  Service service_;
  Router router_;
};

}  // namespace verge::inference_api::test
