// A hub in a temporary folder with a clock of its own, and devices that report what they are told.
#pragma once

#include <memory>
#include <string>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/crypto/certificate.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/hub/hub.hpp"
#include "verge/hub/registry.hpp"

namespace verge::hub {

/// The value, or a failure that says the error.
template <typename T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().text();
    return T{};
  }
  return std::move(*result);
}

class HubTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    hub_.reset();
    auto opened =
        Hub::open({folder_.path() / "hub", {}, [this] { return now_ms_; }, "1", setup_, {}, setup_telemetry_}, log_);
    ASSERT_TRUE(opened) << opened.error().text();
    hub_ = std::move(*opened);
    if (admin_.name.empty()) admin_ = must(hub_->authenticate(hub_->first_token()));
  }
  Principal with(wire::Right right) const {
    Principal principal;
    principal.name = "somebody";
    principal.rights = {right};
    return principal;
  }
  /// Joins with a key of its own.
  Principal join(const std::string& name) {
    wire::EnrolmentRequest wanted;
    wanted.device = name;
    const auto enrolment = must(hub_->create_enrolment(admin_, wanted, "https://hub:1"));
    const auto key = crypto::PrivateKey::generate(crypto::KeyKind::ecdsa_p256);
    wire::CertificateRequest request;
    request.device = name;
    request.token = enrolment.token;
    request.request = crypto::make_request(key, name);
    must(hub_->certificate(request, "10.0.0.1"));
    Principal device;
    device.device = name;
    device.key_fingerprint = key.public_key().fingerprint();
    device.address = "10.0.0.1";
    return device;
  }
  wire::ReportedState report_for(const Principal& device) const {
    wire::ReportedState report;
    report.version = 1;
    report.instance = "run";
    report.device.device_type = "camera";
    report.device.memory_available_bytes = 1'000'000;
    report.device.disk_free_bytes = 1'000'000;
    const auto found = continuations_.find(device.device);
    if (found != continuations_.end()) report.continuation = found->second;
    return report;
  }
  Result<wire::ReportAnswer> send(const Principal& device, const wire::ReportedState& report) {
    auto answer = hub_->report(device, report);
    if (answer) continuations_[device.device] = answer->continuation;
    return answer;
  }
  /// Pushes a model of one file through the registry; its digest.
  std::string push(const std::string& name, const std::string& version, std::int64_t memory_bytes = 0) {
    const auto repository = "models/" + name;
    const std::string metadata =
        R"({"schema_version":1,"name":")" + name + R"(","version":")" + version +
        R"(","task":"classification","model":{"file":"model_files/m","format":"onnx"},"inputs":[{"name":"x",)"
        R"("datatype":"FP32","shape":[1]}],"outputs":[{"name":"y","datatype":"FP32","shape":[1]}],"requirements":)"
        R"({"memory_bytes":)" +
        std::to_string(memory_bytes) + "}}";
    const auto layer = [&](const std::string& path, const std::string& content) {
      return R"({"mediaType":"application/vnd.cncf.model.weight.v1.raw","digest":")" + blob(repository, content) +
             R"(","size":)" + std::to_string(content.size()) + R"(,"annotations":{"org.cncf.model.filepath":")" + path +
             R"("}})";
    };
    const std::string type = "application/vnd.oci.image.manifest.v1+json";
    const std::string manifest =
        R"({"schemaVersion":2,"mediaType":")" + type +
        R"(","artifactType":"application/vnd.cncf.model.manifest.v1+json","config":{"mediaType":"application/)"
        R"(vnd.cncf.model.config.v1+json","digest":")" +
        blob(repository, "{}") + R"(","size":2},"layers":[)" + layer("metadata.json", metadata) + "," +
        layer("model_files/m", "weights of " + version) + "]}";
    return must(hub_->registry().put_manifest(admin_, repository, version, type, manifest)).digest;
  }
  std::string blob(const std::string& repository, const std::string& content,
                   crypto::DigestAlgorithm algorithm = crypto::DigestAlgorithm::sha256) {
    const auto file = folder_.path() / "piece";
    EXPECT_TRUE(write_file(file, std::string_view(content)));
    const auto upload = must(hub_->registry().begin_upload(admin_, repository));
    const auto digest = crypto::digest(algorithm, content);
    return must(hub_->registry().finish(admin_, repository, upload.id, digest, {file})).digest;
  }
  Result<wire::DeploymentDetail> deploy(const std::string& application, const std::string& version = "",
                                        const std::string& selector = "all") {
    wire::DeploymentRequest request;
    request.application = application;
    if (!version.empty()) request.version = version;
    request.selector = selector;
    return hub_->deploy(admin_, request);
  }
  wire::DeploymentDevice on(const std::string& deployment, const std::string& device) {
    for (const auto& entry : must(hub_->deployment(admin_, deployment)).devices) {
      if (entry.device == device) return entry;
    }
    ADD_FAILURE() << device << " is not in " << deployment;
    return {};
  }
  std::optional<wire::DesiredState> desired(const Principal& device, std::int64_t after = 0) {
    std::optional<wire::DesiredState> got;
    hub_->desired(device, after, 0, [&](auto answer) { got = must(std::move(answer)); });
    return got;
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("hub"));
  std::int64_t now_ms_ = 1'700'000'000'000;
  RegistrySetup setup_;  ///< Of the next open().
  TelemetrySetup setup_telemetry_;
  Log log_{LogLevel::error};
  std::unique_ptr<Hub> hub_;
  Principal admin_;
  std::map<std::string, std::string> continuations_;
};

}  // namespace verge::hub
