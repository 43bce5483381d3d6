#include "delivery_queue.hpp"

namespace verge::pipeline {
namespace {

class MqttSink final : public Sink {
 public:
  MqttSink(std::unique_ptr<mqtt::Client> client, const MqttTopic& topic, OnSinkError on_error)
      : client_(std::move(client)),
        queue_(
            topic.queue,
            [this, topic](const std::string& text, std::chrono::milliseconds&, const std::stop_token& stop) {
              return client_->publish(topic.topic, text, topic.qos, topic.retain, stop);
            },
            std::move(on_error)) {}

  Result<void> put(const Event& event) override {
    queue_.push(event.json);
    return {};
  }
  [[nodiscard]] Deliveries deliveries() const override {
    Deliveries counts = queue_.deliveries();
    const auto handed_over = counts.delivered;
    counts.delivered = client_->acknowledged();
    counts.waiting += handed_over - counts.delivered;
    return counts;
  }

 private:
  std::unique_ptr<mqtt::Client> client_;
  DeliveryQueue queue_;
};

}  // namespace

Result<std::unique_ptr<Sink>> mqtt_sink(const mqtt::Options& broker, MqttTopic topic, OnSinkError on_error) {
  mqtt::Listener listener;
  listener.on_lost = on_error;
  VERGE_ASSIGN(auto client, mqtt::Client::start(broker, std::move(listener)));
  return std::unique_ptr<Sink>(std::make_unique<MqttSink>(std::move(client), topic, std::move(on_error)));
}

}  // namespace verge::pipeline
