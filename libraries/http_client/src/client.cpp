#include "verge/http_client/client.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "transfer.hpp"

namespace verge::http_client {
namespace {

constexpr std::size_t kHeaderLimitBytes = 256U << 10U;
constexpr std::uint64_t kErrorBodyLimitBytes = 64U << 10U;
constexpr std::chrono::seconds kLongestWait{3600};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
using Sink = std::function<Result<void>(std::span<const std::byte>)>;

/// What comes back, while it comes.
struct Receiver {
  Reply reply;
  std::size_t header_bytes = 0;
  Sink sink;
  std::optional<Error> refused;  ///< Why we ended it.
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::size_t take_header(const char* data, std::size_t, std::size_t size, void* target) {
  auto* receiver = static_cast<Receiver*>(target);
  const std::string_view line(data, size);
  receiver->header_bytes += size;
  if (receiver->header_bytes > kHeaderLimitBytes) {
    receiver->refused = Error(ErrorCode::resource_exhausted, "VRG-HTC-006",
                              fmt::format("expected headers of at most {} bytes, got more", kHeaderLimitBytes));
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    // Each interim answer (100 Continue) begins anew.
    receiver->reply.headers.clear();
    const auto at = std::min(line.find(' ') + 1, line.size());
    std::from_chars(line.data() + at, line.data() + line.size(), receiver->reply.status);
    return size;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(trimmed(line.substr(0, colon)));
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  receiver->reply.headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
  return size;
}

std::size_t take_body(const char* data, std::size_t, std::size_t size, void* target) {
  auto* receiver = static_cast<Receiver*>(target);
  auto taken = receiver->sink(std::as_bytes(std::span(data, size)));
  if (taken) return size;
  receiver->refused = std::move(taken).error();
  return size == 0 ? 1 : 0;
}

/// What of a file is sent.
struct FilePart {
  std::FILE* file = nullptr;
  std::uint64_t offset_bytes = 0;
};

std::size_t give_body(char* data, std::size_t, std::size_t size, void* file) {
  auto* source = static_cast<std::FILE*>(file);
  const auto got = std::fread(data, 1, size, source);
  return got == 0 && std::ferror(source) != 0 ? CURL_READFUNC_ABORT : got;
}

/// libcurl sends again from the start when a kept connection turns out to be dead.
int seek_body(void* part, curl_off_t offset, int origin) {
  const auto& body = *static_cast<const FilePart*>(part);
  const auto to = static_cast<off_t>(body.offset_bytes) + static_cast<off_t>(offset);
  return origin == SEEK_SET && fseeko(body.file, to, SEEK_SET) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
}

Error not_a_request(std::string_view what, std::string_view got) {
  return Error(ErrorCode::invalid_argument, "VRG-HTC-008", fmt::format("expected {}, got '{}'", what, got));
}

Result<void> check_call(const std::string& path, const std::vector<std::pair<std::string, std::string>>& headers) {
  if (path.empty() || path.front() != '/' || has_control(path) || path.find_first_of(" #") != std::string::npos) {
    return not_a_request("a path that begins with '/' and is encoded as a URL is", path);
  }
  for (const auto& [name, value] : headers) {
    if (name.empty() || has_control(name) || has_control(value) || name.find_first_of(": ") != std::string::npos) {
      return not_a_request("a header of one line", name);
    }
  }
  return {};
}

Sink into(std::string& body, std::uint64_t limit_bytes) {
  return [&body, limit_bytes](std::span<const std::byte> piece) -> Result<void> {
    if (piece.size() > limit_bytes - body.size()) {
      return Error(ErrorCode::resource_exhausted, "VRG-HTC-006",
                   fmt::format("expected an answer of at most {} bytes, got a larger one", limit_bytes));
    }
    body.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  };
}

/// Whether a "bytes 100-199/200" begins at `offset`.
bool begins_at(std::string_view content_range, std::uint64_t offset) {
  return content_range.starts_with(fmt::format("bytes {}-", offset));
}

/// Seconds, or a date.
std::optional<std::chrono::seconds> retry_after(std::string_view value) {
  long long seconds = 0;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (!value.empty() && read.ec == std::errc{} && read.ptr == value.data() + value.size()) {
    return std::chrono::seconds(std::max(seconds, 0LL));
  }
  const auto date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<long long>(date - std::time(nullptr), 0));
}

curl_blob blob_of(const std::string& text) {
  // COPY: libcurl keeps it with a connection, maybe longer than the request lasts.
  return {const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
}

}  // namespace

struct Client::State {
  ClientOptions options;
  bool loopback = false;
  Transfer transfer;
  std::chrono::steady_clock::time_point not_before{};  ///< As the server asked. Of whoever has the turn.

  std::mutex mutex;
  std::condition_variable_any free;
  bool busy = false;

  /// One call's turn.
  class Turn {
   public:
    explicit Turn(State& state) : state_(state) {}
    ~Turn() {
      {
        const std::lock_guard lock(state_.mutex);
        state_.busy = false;
      }
      state_.free.notify_one();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    State& state_;
  };
  /// Null when stopped before its turn came.
  std::unique_ptr<Turn> wait_for_turn(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    if (!free.wait(lock, stop, [this] { return !busy; })) return nullptr;
    busy = true;
    return std::make_unique<Turn>(*this);
  }
  CURL* begin(const std::string& path, Receiver& receiver);
  std::unique_ptr<curl_slist, CurlFree> set_headers(CURL* easy,
                                                    std::vector<std::pair<std::string, std::string>> headers) const;
  Result<void> run(const Transfer::Patience& patience, const std::stop_token& stop, Receiver& receiver) {
    auto done = transfer.run(patience, stop);
    if (!done && receiver.refused) return std::move(*receiver.refused);
    if (done) obey(receiver.reply);
    return done;
  }
  /// Keeps when the server wants to be asked again.
  void obey(const Reply& reply) {
    if (reply.status != 429 && reply.status != 503) return;
    const auto wait = retry_after(reply.header("retry-after"));
    if (wait) not_before = std::chrono::steady_clock::now() + std::min(*wait, kLongestWait);
  }
  [[nodiscard]] Result<void> may_ask() const {
    const auto now = std::chrono::steady_clock::now();
    if (now >= not_before) return {};
    return Error(ErrorCode::unavailable, "VRG-HTC-010",
                 fmt::format("{} asked to be left alone for another {} s", options.base_url,
                             std::chrono::ceil<std::chrono::seconds>(not_before - now).count()));
  }
  static CURLcode set_up_tls(CURL*, void* context, void* state) {
    auto* self = static_cast<State*>(state);
    watch_certificates(static_cast<SSL_CTX*>(context), &self->transfer.note(), self->options.check_validity_dates);
    return CURLE_OK;
  }
};

CURL* Client::State::begin(const std::string& path, Receiver& receiver) {
  CURL* easy = transfer.begin(options.base_url + path);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &receiver);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &receiver);
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  if (!options.proxy.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");  // What was asked for holds, whatever the environment says.
  } else if (loopback) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }
  if (!options.proxy_ca_certificate.empty()) {
    curl_blob blob = blob_of(options.proxy_ca_certificate);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
  }
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, set_up_tls);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  if (!options.ca_certificate.empty()) {
    curl_blob blob = blob_of(options.ca_certificate);
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // Else the system's authorities are trusted beside ours.
  }
  if (!options.client_certificate.empty()) {
    curl_blob certificate = blob_of(options.client_certificate);
    curl_blob key = blob_of(options.client_key);
    curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
  }
  return easy;
}

std::unique_ptr<curl_slist, CurlFree> Client::State::set_headers(
    CURL* easy, std::vector<std::pair<std::string, std::string>> headers) const {
  if (!options.bearer_token.empty()) headers.emplace_back("Authorization", "Bearer " + options.bearer_token);
  std::unique_ptr<curl_slist, CurlFree> list;
  for (const auto& [name, value] : headers) {
    // "Name;" is libcurl's way to send a header without a value, "Name:" would leave it out.
    std::string line = name;
    line += value.empty() ? ";" : ": ";
    line += value;
    auto* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    (void)list.release();
    list.reset(longer);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list.get());
  return list;
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::create(ClientOptions options) {
  while (options.base_url.ends_with('/')) options.base_url.pop_back();
  VERGE_ASSIGN(const auto url, parse_url(options.base_url));
  VERGE_TRY(check_pem(options));
  if (has_control(options.bearer_token) || has_control(options.user_agent)) {
    return not_a_request("a bearer token and a user agent of one line", "one with control characters");
  }
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  state->loopback = is_loopback(host_of(url.get()));
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Result<Reply> Client::send(const Call& call, const std::stop_token& stop) {
  VERGE_TRY(check_call(call.path, call.headers));
  const auto turn = state_->wait_for_turn(stop);
  if (turn == nullptr) return Error(ErrorCode::cancelled, "VRG-HTC-005", "the request was stopped before it was sent");
  VERGE_TRY(state_->may_ask());
  Receiver receiver;
  receiver.sink = into(receiver.reply.body, call.limit_bytes);
  CURL* easy = state_->begin(call.path, receiver);
  auto headers = call.headers;
  File file(nullptr, std::fclose);
  FilePart part;
  const bool with_file = !call.body_file.empty();
  const bool with_body =
      with_file || !call.body.empty() || (call.method != "GET" && call.method != "HEAD" && call.method != "DELETE");
  if (with_file) {
    file.reset(std::fopen(call.body_file.c_str(), "rbe"));
    std::error_code failed;
    const std::uint64_t all = std::filesystem::file_size(call.body_file, failed);
    const auto from = static_cast<off_t>(call.body_offset_bytes);
    if (file == nullptr || failed || call.body_offset_bytes > all || ::fseeko(file.get(), from, SEEK_SET) != 0) {
      return Error(ErrorCode::not_found, "VRG-BAS-001",
                   fmt::format("cannot read '{}' to send it; check the path", call.body_file.string()));
    }
    part = {file.get(), call.body_offset_bytes};
    const auto size = std::min(call.body_length_bytes.value_or(all), all - call.body_offset_bytes);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, file.get());
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &part);
    if (call.progress) {
      state_->transfer.on_sent = [&call, size](std::uint64_t sent) { call.progress(std::min(sent, size), size); };
    }
  } else if (with_body) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call.body.c_str());
    headers.emplace_back("Expect", "");
  }
  if (call.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  }
  if (with_body) headers.emplace_back("Content-Type", call.content_type);
  const auto list = state_->set_headers(easy, std::move(headers));
  VERGE_TRY(state_->run({call.timeout, with_file}, stop, receiver));
  return std::move(receiver.reply);
}

Result<Reply> Client::download(const Call& call, std::uint64_t offset, const Sink& sink, const std::stop_token& stop) {
  VERGE_TRY(check_call(call.path, call.headers));
  const auto turn = state_->wait_for_turn(stop);
  if (turn == nullptr) return Error(ErrorCode::cancelled, "VRG-HTC-005", "the download was stopped before it began");
  VERGE_TRY(state_->may_ask());
  Receiver receiver;
  std::uint64_t passed = 0;
  const auto keep_error = into(receiver.reply.body, kErrorBodyLimitBytes);
  receiver.sink = [&](std::span<const std::byte> piece) -> Result<void> {
    if (receiver.reply.status != 200 && receiver.reply.status != 206) {
      (void)keep_error(piece);  // What an error says beyond the limit is of no use.
      return {};
    }
    if (receiver.reply.status == 206 && !begins_at(receiver.reply.header("content-range"), offset)) {
      return Error(ErrorCode::unavailable, "VRG-HTC-002",
                   fmt::format("expected '{}' from byte {} on, got '{}'", call.path, offset,
                               receiver.reply.header("content-range")));
    }
    const std::uint64_t dropped =
        receiver.reply.status == 200 && passed < offset ? std::min<std::uint64_t>(offset - passed, piece.size()) : 0;
    passed += piece.size();
    if (dropped == piece.size()) return {};
    return sink(piece.subspan(dropped));
  };
  CURL* easy = state_->begin(call.path, receiver);
  if (const auto most = state_->options.max_download_bytes_per_s; most > 0) {
    curl_easy_setopt(easy, CURLOPT_MAX_RECV_SPEED_LARGE, static_cast<curl_off_t>(most));
  }
  auto headers = call.headers;
  if (offset > 0) headers.emplace_back("Range", fmt::format("bytes={}-", offset));
  const auto list = state_->set_headers(easy, std::move(headers));
  VERGE_TRY(state_->run({call.timeout, true}, stop, receiver));
  if (receiver.reply.status == 200 && passed < offset) {
    return Error(
        ErrorCode::out_of_range, "VRG-HTC-002",
        fmt::format("expected '{}' to have more than {} bytes, got {}; begin anew", call.path, offset, passed));
  }
  return std::move(receiver.reply);
}

Result<void> Client::download(const std::string& path, std::uint64_t offset, const Sink& sink,
                              std::chrono::milliseconds idle_timeout, const std::stop_token& stop) {
  Call call;
  call.path = path;
  call.timeout = idle_timeout;
  VERGE_ASSIGN(const Reply reply, download(call, offset, sink, stop));
  if (reply.status != 200 && reply.status != 206) return error_of(reply);
  return {};
}

}  // namespace verge::http_client
