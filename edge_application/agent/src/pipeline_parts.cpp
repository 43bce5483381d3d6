#include "pipeline_parts.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "verge/base/file.hpp"

namespace verge::agent {
namespace {

constexpr std::uint64_t kCredentialsLimitBytes = 4096;
constexpr std::size_t kMessages = 64;

struct Credentials {
  std::string user;
  std::string password;
};

Result<Credentials> read_credentials(const std::optional<std::string>& file) {
  if (!file) return Credentials{};
  auto text = read_text(*file, kCredentialsLimitBytes);
  if (text) {
    const std::string line = text->substr(0, text->find_first_of("\r\n"));
    if (const auto colon = line.find(':'); colon != std::string::npos && colon > 0) {
      return Credentials{line.substr(0, colon), line.substr(colon + 1)};
    }
  }
  return Error(text ? ErrorCode::invalid_argument : text.error().code(), "VRG-AGT-031",
               fmt::format("expected a file with one line 'user:password' at '{}', {}", *file,
                           text ? "got something else" : "which cannot be read: " + text.error().message()));
}

void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", byte);
    }
  }
}

Result<std::string> address_of(const wire::StreamSource& stream) {
  VERGE_ASSIGN(const auto credentials, read_credentials(stream.credentials));
  if (credentials.user.empty()) return stream.url;
  const auto host = stream.url.find("//") + 2;
  std::string address = stream.url.substr(0, host);
  append_escaped(credentials.user, address);
  address += ':';
  append_escaped(credentials.password, address);
  return address + '@' + stream.url.substr(host);
}

std::string default_client_id(std::string_view pipeline, std::string_view part) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return fmt::format("verge-{}-{}-{}", host.data(), pipeline, part);
}

Result<mqtt::Options> broker_of(const wire::MqttBroker& broker, std::string_view pipeline, std::string_view part) {
  mqtt::Options options;
  options.host = broker.host;
  options.port = static_cast<std::uint16_t>(broker.port.value_or(broker.tls ? 8883 : 1883));
  options.client_id = broker.client_id.value_or(default_client_id(pipeline, part));
  VERGE_ASSIGN(auto credentials, read_credentials(broker.credentials));
  options.user = std::move(credentials.user);
  options.password = std::move(credentials.password);
  if (broker.tls) {
    options.tls = mqtt::Tls{broker.tls->authority.value_or(""), broker.tls->certificate.value_or(""),
                            broker.tls->key.value_or("")};
  }
  return options;
}

Result<std::unique_ptr<pipeline::Source>> open_mqtt(const wire::PipelineEntry& entry,
                                                    const pipeline::Connection& connection) {
  const auto& source = *entry.source.mqtt;
  VERGE_ASSIGN(auto options, broker_of(source.broker, entry.name, "source"));
  options.subscription = mqtt::Subscription{source.topic, static_cast<int>(source.qos)};
  options.keep_session = source.qos > 0;
  return pipeline::mqtt_source(options, static_cast<std::size_t>(entry.queue.value_or(kMessages)), connection);
}

std::unique_ptr<pipeline::Source> open_camera(const wire::CameraSource& camera,
                                              const pipeline::Connection& connection) {
  return pipeline::reconnecting_source(
      [camera] {
        return pipeline::camera_source(static_cast<int>(camera.device), static_cast<int>(camera.width.value_or(0)),
                                       static_cast<int>(camera.height.value_or(0)));
      },
      connection);
}

/// The credentials are read at each connection: they may have been renewed.
std::unique_ptr<pipeline::Source> open_stream(const wire::StreamSource& stream,
                                              const pipeline::Connection& connection) {
  return pipeline::reconnecting_source(
      [stream]() -> Result<std::unique_ptr<pipeline::Source>> {
        VERGE_ASSIGN(const auto address, address_of(stream));
        return pipeline::stream_source(stream.url, address);
      },
      connection);
}

pipeline::Filter filter_of(const wire::OnlyWhen& only) {
  return {only.labels, only.min_score, std::chrono::duration<double>(only.interval_s)};
}

const std::optional<wire::OnlyWhen>& condition_of(const wire::Sink& sink) {
  static const std::optional<wire::OnlyWhen> kAlways;
  if (sink.json_lines) return sink.json_lines->only;
  if (sink.video) return sink.video->only;
  if (sink.mqtt) return sink.mqtt->only;
  if (sink.webhook) return sink.webhook->only;
  return kAlways;
}

const std::optional<wire::Spool>& spool_of(const wire::Sink& sink) {
  static const std::optional<wire::Spool> kNone;
  if (sink.mqtt) return sink.mqtt->spool;
  if (sink.webhook) return sink.webhook->spool;
  return kNone;
}

/// Who gets the events: what stands in a spool is for nobody else.
std::string receiver_of(const wire::Sink& sink) {
  if (sink.webhook) return sink.webhook->url;
  const auto& broker = sink.mqtt->broker;
  return fmt::format("{}:{} {}", broker.host, broker.port.value_or(0), sink.mqtt->topic);
}

/// Null: the sink wants none.
Result<std::shared_ptr<spool::Spool>> open_spool(const wire::PipelineEntry& entry, std::size_t number, Spools* spools) {
  const auto& sink = entry.sinks[number];
  const auto& wanted = spool_of(sink);
  if (!wanted) return std::shared_ptr<spool::Spool>();
  if (spools == nullptr) {
    return Error(ErrorCode::failed_precondition, "VRG-AGT-090",
                 fmt::format("pipeline '{}': a 'spool' needs a 'state_directory', where events are kept; add one, or "
                             "leave 'spool' out",
                             entry.name));
  }
  const auto same = [&](const wire::Sink& other) {
    return kind_of(other) == kind_of(sink) && spool_of(other) && receiver_of(other) == receiver_of(sink);
  };
  const auto nth = std::ranges::count_if(std::span(entry.sinks).first(number), same);
  return spools->open(*wanted, entry.name, kind_of(sink), fmt::format("{} {}", receiver_of(sink), nth));
}

Result<std::unique_ptr<pipeline::Sink>> open_mqtt(const wire::MqttSink& sink, std::string_view pipeline,
                                                  std::size_t number, const pipeline::OnSinkError& on_error,
                                                  std::shared_ptr<spool::Spool> spool) {
  VERGE_ASSIGN(const auto options, broker_of(sink.broker, pipeline, fmt::format("sink{}", number)));
  pipeline::MqttTopic topic{sink.topic, static_cast<int>(sink.qos), sink.retain, static_cast<std::size_t>(sink.queue),
                            std::move(spool)};
  return pipeline::mqtt_sink(options, std::move(topic), on_error);
}

Result<std::unique_ptr<pipeline::Sink>> open_webhook(const wire::WebhookSink& sink,
                                                     const pipeline::OnSinkError& on_error,
                                                     std::shared_ptr<spool::Spool> spool) {
  pipeline::WebhookOptions options;
  options.url = sink.url;
  options.token = sink.token.value_or("");
  options.authority = sink.authority.value_or("");
  options.timeout = std::chrono::milliseconds(sink.timeout_ms);
  options.queue = static_cast<std::size_t>(sink.queue);
  options.spool = std::move(spool);
  return pipeline::webhook_sink(std::move(options), on_error);
}

Result<std::unique_ptr<pipeline::Sink>> open_sink(const wire::PipelineEntry& entry, std::size_t number,
                                                  const pipeline::OnSinkError& on_error, Spools* spools,
                                                  std::shared_ptr<pipeline::Preview>& preview) {
  const auto& sink = entry.sinks[number];
  if (sink.json_lines) {
    return pipeline::json_lines_sink(sink.json_lines->path,
                                     static_cast<std::uint64_t>(sink.json_lines->max_bytes.value_or(0)));
  }
  if (sink.video) return pipeline::video_sink(sink.video->path, sink.video->frames_per_second);
  if (sink.mqtt || sink.webhook) {
    VERGE_ASSIGN(auto spool, open_spool(entry, number, spools));
    if (sink.mqtt) return open_mqtt(*sink.mqtt, entry.name, number, on_error, std::move(spool));
    return open_webhook(*sink.webhook, on_error, std::move(spool));
  }
  preview = std::make_shared<pipeline::Preview>();
  return pipeline::preview_sink(preview, sink.preview->max_rate_hz, static_cast<int>(sink.preview->quality));
}

}  // namespace

Result<void> check_pipeline(const wire::PipelineEntry& entry, std::string_view origin) {
  const auto refuse = [&](int line, const std::string& why) {
    return Error(ErrorCode::invalid_argument, "VRG-AGT-030",
                 fmt::format("{} line {}: pipeline '{}': {}", origin, line, entry.name, why));
  };
  for (std::size_t i = 0; i < entry.models.size(); ++i) {
    const auto& model = entry.models[i];
    const auto before = std::span(entry.models).first(i);
    const auto named = [](const std::string& name) {
      return [&name](const wire::PipelineModel& other) { return other.model == name; };
    };
    if (std::ranges::any_of(before, named(model.model))) {
      return refuse(model.line, fmt::format("the model '{}' is named twice; name it once", model.model));
    }
    if (!model.crops) continue;
    const auto of = std::ranges::find_if(before, named(model.crops->of));
    if (of == before.end() || of->crops) {
      return refuse(model.crops->line,
                    fmt::format("expected under 'crops: of' a model that is named before '{}' and sees the whole "
                                "picture, got '{}'; put it before",
                                model.model, model.crops->of));
    }
  }
  const auto previews =
      std::ranges::count_if(entry.sinks, [](const wire::Sink& sink) { return sink.preview.has_value(); });
  if (previews > 1) return refuse(entry.line, "expected at most one 'preview' among the sinks; leave one");
  return {};
}

pipeline::Plan plan_of(const wire::PipelineEntry& entry) {
  pipeline::Plan plan;
  plan.name = entry.name;
  plan.max_rate_hz = entry.max_rate_hz.value_or(0);
  const auto& source = entry.source;
  if (source.camera || source.stream || (source.video && source.video->paced)) {
    plan.queue = static_cast<std::size_t>(entry.queue.value_or(1));
  }
  for (const auto& model : entry.models) {
    pipeline::Step step{model.model, std::nullopt};
    if (model.crops) {
      step.crops =
          pipeline::Crops{model.crops->of, model.crops->labels, static_cast<float>(model.crops->min_score),
                          static_cast<std::size_t>(model.crops->most), static_cast<float>(model.crops->margin)};
    }
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

Result<OpenedSource> open_source(const wire::PipelineEntry& entry, const pipeline::Connection& connection) {
  const auto& source = entry.source;
  OpenedSource opened;
  if (source.folder) {
    VERGE_ASSIGN(opened.source, pipeline::folder_source(source.folder->path, source.folder->watch));
  } else if (source.video) {
    VERGE_ASSIGN(opened.source, pipeline::video_source(source.video->path, {source.video->loop, source.video->paced}));
  } else if (source.http) {
    opened.inbox = std::make_shared<pipeline::SampleQueue>(static_cast<std::size_t>(entry.queue.value_or(kMessages)));
    opened.source = pipeline::queue_source(opened.inbox);
  } else {
    opened.reconnects = true;
    if (source.mqtt) {
      VERGE_ASSIGN(opened.source, open_mqtt(entry, connection));
    } else {
      opened.source = source.camera ? open_camera(*source.camera, connection) : open_stream(*source.stream, connection);
    }
  }
  return opened;
}

Result<OpenedSinks> open_sinks(const wire::PipelineEntry& entry, const pipeline::OnSinkError& on_error,
                               Spools* spools) {
  OpenedSinks opened;
  for (const auto& sink : entry.sinks) {
    VERGE_ASSIGN(auto made, open_sink(entry, opened.sinks.size(), on_error, spools, opened.preview));
    if (const auto& only = condition_of(sink)) made = pipeline::filtered(filter_of(*only), std::move(made));
    opened.sinks.push_back(std::move(made));
  }
  return opened;
}

bool wants_spool(const wire::Sink& sink) {
  return spool_of(sink).has_value();
}

bool wants_spool(const wire::PipelineEntry& entry) {
  return std::ranges::any_of(entry.sinks, [](const wire::Sink& sink) { return wants_spool(sink); });
}

std::string_view kind_of(const wire::Source& source) {
  if (source.folder) return "folder";
  if (source.video) return "video";
  if (source.camera) return "camera";
  if (source.stream) return "stream";
  return source.mqtt ? "mqtt" : "http";
}

std::string_view kind_of(const wire::Sink& sink) {
  if (sink.json_lines) return "json_lines";
  if (sink.video) return "video";
  if (sink.preview) return "preview";
  return sink.mqtt ? "mqtt" : "webhook";
}

}  // namespace verge::agent
