// Handover of gRPC's listening sockets: they outlive a server, so that no client is turned away between two.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "served.hpp"
#include "socket_keeper.hpp"
#include "verge/base/descriptor.hpp"
#include "verge/base/file.hpp"
#include "verge/inference_api/grpc_server.hpp"

namespace verge::inference_api {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

/// A client with a connection of its own and without retries. The messages are not linked here: the part brings them.
class Client {
 public:
  explicit Client(const std::string& address) : stub_(channel(address)) {}

  /// Asks for the server's metadata, and leaves the call on its way.
  void ask() {
    context_.set_deadline(std::chrono::system_clock::now() + 20s);
    call_ = stub_.PrepareUnaryCall(&context_, "/inference.GRPCInferenceService/ServerMetadata", empty_, &queue_);
    call_->StartCall();
    call_->Finish(&answer_, &status_, this);
  }
  /// Waits for the answer. "": it came; else what went wrong.
  std::string outcome() {
    void* tag = nullptr;
    bool done = false;
    EXPECT_TRUE(queue_.Next(&tag, &done));
    return status_.error_message();
  }
  std::string asked() {
    ask();
    return outcome();
  }

 private:
  static std::shared_ptr<grpc::Channel> channel(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  const grpc::ByteBuffer empty_{std::array<grpc::Slice, 1>{}.data(), 1};
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
};

class GrpcHandover : public test::Served {
 protected:
  GrpcOptions options() {
    GrpcOptions options;
    options.kept = keeper_.kept();
    options.unix_socket = folder_.path() / "socket";
    options.keep = [this](int socket, bool) { return keeper_.keep(socket); };
    return options;
  }
  void hand_over() { keeper_.hand_over(); }
  std::unique_ptr<GrpcServer> start(const GrpcOptions& options) { return std::move(*start_grpc(options, service_)); }
  static std::string at(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }
  [[nodiscard]] std::string local() const { return "unix:" + (folder_.path() / "socket").string(); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("verge-grpc-"));
  http::test::SocketKeeper keeper_;
};

TEST_F(GrpcHandover, WhoAsksBetweenTwoServersIsAnsweredByTheSecond) {
  auto first = start(options());
  const auto port = first->port();
  Client staying(at(port));
  EXPECT_THAT(staying.asked(), IsEmpty());
  first->stop(1s);
  first.reset();
  Client between(at(port));
  Client beside(local());
  between.ask();
  beside.ask();
  std::this_thread::sleep_for(50ms);
  hand_over();
  const auto second = start(options());
  EXPECT_EQ(second->port(), port) << "any port is asked for: the one that is there";
  EXPECT_THAT(between.outcome(), IsEmpty());
  EXPECT_THAT(beside.outcome(), IsEmpty());
}

TEST_F(GrpcHandover, WhoDoesNotHearIsNotWaitedForLong) {
  auto server = start(options());
  const Descriptor deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(server->port());
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(deaf.number(), reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
  constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);  // No settings.
  ASSERT_EQ(::write(deaf.number(), kHello.data(), kHello.size()), 33);
  Client other(at(server->port()));
  EXPECT_THAT(other.asked(), IsEmpty());
  const auto begun = std::chrono::steady_clock::now();
  server->stop(20s);
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_GT(took, 200ms);
  EXPECT_LT(took, 5s);
}

TEST_F(GrpcHandover, WithoutAKeeperTheSocketsEnd) {
  auto alone = options();
  alone.keep = {};
  auto server = start(alone);
  const auto port = server->port();
  EXPECT_TRUE(std::filesystem::exists(alone.unix_socket));
  server->stop(1s);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(alone.unix_socket));
  EXPECT_THAT(Client(at(port)).asked(), HasSubstr("failed to connect"));
}

TEST_F(GrpcHandover, AnAddressThatIsTakenIsNamed) {
  const auto first = start(options());
  auto taken = options();
  taken.port = first->port();
  const auto refused = start_grpc(taken, service_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "VRG-API-051");
  EXPECT_THAT(refused.error().message(), HasSubstr("127.0.0.1 port " + std::to_string(first->port())));
  taken = options();
  const auto path = start_grpc(taken, service_);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().id(), "VRG-API-051");
  EXPECT_THAT(path.error().message(), HasSubstr("'unix_socket' under 'api: grpc'"));
}

TEST_F(GrpcHandover, ConnectionsAreBounded) {
  auto few = options();
  few.max_connections = 2;
  const auto server = start(few);
  auto first = std::make_unique<Client>(at(server->port()));
  Client second(local());
  EXPECT_THAT(first->asked(), IsEmpty());
  EXPECT_THAT(second.asked(), IsEmpty());
  EXPECT_THAT(Client(at(server->port())).asked(), testing::Not(IsEmpty()));
  first.reset();
  std::this_thread::sleep_for(300ms);
  EXPECT_THAT(Client(at(server->port())).asked(), IsEmpty()) << "one has gone";
}

}  // namespace
}  // namespace verge::inference_api
