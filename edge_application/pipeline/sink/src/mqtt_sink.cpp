#include "delivery_queue.hpp"

namespace verge::pipeline {
namespace {

class MqttSink final : public Sink {
 public:
  MqttSink(std::unique_ptr<mqtt::Client> client, MqttTopic topic, OnSinkError on_error)
      : client_(std::move(client)),
        topic_(std::move(topic)),
        queue_(
            topic_.spool ? spooled_outbox(std::move(topic_.spool)) : memory_outbox(topic_.queue),
            [this](const Message& message, std::chrono::milliseconds&, const std::stop_token& stop) {
              return client_->publish(topic_.topic, message.text, topic_.qos, topic_.retain, stop);
            },
            std::move(on_error), [this] { return client_->acknowledged(); }) {}

  Result<void> put(const Event& event) override { return queue_.push(event.json); }
  [[nodiscard]] Deliveries deliveries() const override { return queue_.deliveries(); }

 private:
  std::unique_ptr<mqtt::Client> client_;
  MqttTopic topic_;
  DeliveryQueue queue_;
};

}  // namespace

Result<std::unique_ptr<Sink>> mqtt_sink(const mqtt::Options& broker, MqttTopic topic, OnSinkError on_error) {
  mqtt::Listener listener;
  listener.on_lost = on_error;
  VERGE_ASSIGN(auto client, mqtt::Client::start(broker, std::move(listener)));
  return std::unique_ptr<Sink>(std::make_unique<MqttSink>(std::move(client), std::move(topic), std::move(on_error)));
}

}  // namespace verge::pipeline
