// Bodies as files, answers from files, held answers.
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "verge/base/file.hpp"
#include "verge/http/server.hpp"

namespace verge::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(io_) { socket_.connect({asio::ip::make_address("127.0.0.1"), port}); }
  void send(const std::string& text) { asio::write(socket_, asio::buffer(text)); }
  /// All bytes until the server closes.
  std::string rest() {
    std::string got;
    std::array<char, 65536> piece{};
    boost::system::error_code error;
    while (!error) {
      const auto size = socket_.read_some(asio::buffer(piece), error);
      got.append(piece.data(), size);
    }
    return got;
  }
  void close() { socket_.close(); }

 private:
  asio::io_context io_;
  tcp::socket socket_;
};

std::string exchange(std::uint16_t port, const std::string& text) {
  Client client(port);
  client.send(text);
  return client.rest();
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

class Bodies : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::move(*TemporaryFolder::create("bodies"));
    uploads_ = folder_.path() / "uploads";
    std::filesystem::create_directory(uploads_);
    for (int i = 0; i < 1'000'000; ++i) content_ += static_cast<char>('a' + i % 26);
    ASSERT_TRUE(write_file(folder_.path() / "content", content_));
    ServerOptions options;
    options.max_body_bytes = 100;
    options.max_file_bytes = 3'000'000;
    options.body_folder = [this](const Request& head) {
      return head.path == "/upload" || head.path == "/keep" || head.path == "/small" ? uploads_
                                                                                     : std::filesystem::path();
    };
    options.file_limit = [](const Request& head) {
      return head.path == "/small" ? std::uint64_t{1000} : std::uint64_t{5'000'000};
    };
    options.too_large = [](const Request& head, std::uint64_t limit_bytes) {
      Response response;
      response.status = head.path == "/small" ? 403 : 413;
      response.body = "at most " + std::to_string(limit_bytes);
      return response;
    };
    server_ = std::move(*Server::start(options, [this](const Request& request) { return handle(request); }));
  }
  void TearDown() override {
    const std::lock_guard lock(mutex_);
    held_.clear();
  }
  Response handle(const Request& request) {
    Response response;
    if (request.path == "/file") {
      response.file = folder_.path() / "content";
      response.offset_bytes = 26;
      response.length_bytes = content_.size() - 26;
    } else if (request.path == "/short") {
      response.file = folder_.path() / "content";
      response.length_bytes = content_.size() + 1;
    } else if (request.path == "/length") {
      response.headers.emplace_back("Content-Length", "12345");
    } else if (request.path == "/held") {
      response.later = [this](std::function<void(Response)> answer) {
        const std::lock_guard lock(mutex_);
        held_.push_back(std::move(answer));
      };
    } else {
      response.body = "file:" + std::to_string(request.body_file.empty() ? 0 : file_size(request.body_file)) +
                      " memory:" + std::to_string(request.body.size()) + " from:" + std::string(request.remote_address);
      if (request.path == "/keep") std::filesystem::rename(request.body_file, folder_.path() / "kept");
    }
    return response;
  }
  std::function<void(Response)> take_held() {
    for (int i = 0; i < 500; ++i) {
      {
        const std::lock_guard lock(mutex_);
        if (!held_.empty()) {
          auto answer = std::move(held_.back());
          held_.pop_back();
          return answer;
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw std::runtime_error("no request was held");
  }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("unused"));
  std::filesystem::path uploads_;
  std::string content_;
  std::mutex mutex_;
  std::vector<std::function<void(Response)>> held_;
  std::unique_ptr<Server> server_;
};

TEST_F(Bodies, GoIntoAFileThatIsRemovedUnlessTheHandlerMovesIt) {
  const auto send = [&](const std::string& path) {
    return exchange(
        server_->port(),
        "PUT " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n" + content_);
  };
  EXPECT_THAT(send("/upload"), HasSubstr("file:1000000 memory:0 from:127.0.0.1"));
  EXPECT_EQ(files_in(uploads_), 0U);
  EXPECT_THAT(send("/keep"), HasSubstr("file:1000000"));
  EXPECT_EQ(*read_text(folder_.path() / "kept", 2'000'000), content_);
  EXPECT_THAT(exchange(server_->port(), "PUT /memory HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(Bodies, MayComeInChunks) {
  std::string text = "PUT /keep HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 10; ++i)
    text += "186a0\r\n" + content_.substr(static_cast<std::size_t>(i) * 100'000, 100'000) + "\r\n";
  EXPECT_THAT(exchange(server_->port(), text + "0\r\n\r\n"), HasSubstr("file:1000000 "));
  EXPECT_EQ(*read_text(folder_.path() / "kept", 2'000'000), content_);
}

TEST_F(Bodies, MayHaveALimitOfTheirOwn) {
  const std::string head = "PUT /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  const auto declared = exchange(server_->port(), head + "Content-Length: 1001\r\n\r\n");
  EXPECT_THAT(declared, StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(declared, HasSubstr("at most 1000"));
  const auto chunked = exchange(
      server_->port(), head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + content_.substr(0, 1001) + "\r\n0\r\n\r\n");
  EXPECT_THAT(chunked, StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(files_in(uploads_), 0U);
  EXPECT_THAT(exchange(server_->port(), head + "Content-Length: 1000\r\n\r\n" + content_.substr(0, 1000)),
              HasSubstr("file:1000 "));
}

TEST_F(Bodies, HaveALimitInFilesToo) {
  EXPECT_THAT(exchange(server_->port(), "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3000001\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  std::string text = "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 4; ++i) text += "f4240\r\n" + content_ + "\r\n";
  Client client(server_->port());
  std::string got;
  std::thread sender([&] {
    try {
      client.send(text);
    } catch (const boost::system::system_error&) {  // The server closes before it has read everything.
    }
  });
  sender.join();
  for (int i = 0; i < 200 && files_in(uploads_) > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(files_in(uploads_), 0U);
}

TEST_F(Bodies, OfAClientThatGoesLeaveNoFile) {
  {
    Client client(server_->port());
    client.send("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhalf");
    for (int i = 0; i < 200 && files_in(uploads_) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(files_in(uploads_), 1U);
  }
  for (int i = 0; i < 200 && files_in(uploads_) > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(files_in(uploads_), 0U);
}

TEST_F(Bodies, AFileIsAnsweredInPart) {
  const auto answer = exchange(server_->port(), "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 999974\r\n"));
  EXPECT_EQ(answer.substr(answer.find("\r\n\r\n") + 4), content_.substr(26));
  EXPECT_THAT(exchange(server_->port(), "GET /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 500"));
}

TEST_F(Bodies, HeadHasTheLengthAndNoBody) {
  const auto head = [&](const std::string& path) {
    return exchange(server_->port(), "HEAD " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  };
  EXPECT_THAT(head("/file"), HasSubstr("Content-Length: 999974\r\n"));
  EXPECT_THAT(head("/file"), testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(head("/length"), HasSubstr("Content-Length: 12345\r\n"));
  EXPECT_THAT(head("/memory"), HasSubstr("Content-Length: 30\r\n"));
  EXPECT_THAT(head("/memory"), Not(HasSubstr("memory:")));
}

TEST_F(Bodies, HeldAnswersNeedNoThread) {
  std::vector<std::future<std::string>> answers;
  for (int i = 0; i < 20; ++i) {  // Five times as many as there are threads.
    answers.push_back(std::async(std::launch::async, [&] {
      return exchange(server_->port(), "GET /held HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }));
  }
  std::vector<std::function<void(Response)>> held;
  for (int i = 0; i < 20; ++i) held.push_back(take_held());
  EXPECT_THAT(exchange(server_->port(), "GET /memory HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              HasSubstr("memory:0"));
  for (auto& answer : held) {
    Response response;
    response.body = "at last";
    answer(response);
    answer(response);  // Once counts.
  }
  for (auto& answer : answers) EXPECT_THAT(answer.get(), HasSubstr("at last"));
}

TEST_F(Bodies, AHeldAnswerOutlivesItsClientAndItsServer) {
  {
    Client client(server_->port());
    client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto answer = take_held();
    client.close();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    answer({});
  }
  Client client(server_->port());
  client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto answer = take_held();
  const auto start = std::chrono::steady_clock::now();
  server_->stop(std::chrono::seconds(5));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << "stop() waits for no held answer";
  answer({});
  server_.reset();
  answer({});
  EXPECT_EQ(client.rest(), "");
}

}  // namespace
}  // namespace verge::http
