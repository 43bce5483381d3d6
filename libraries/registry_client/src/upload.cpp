#include "upload.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "verge/base/text.hpp"

namespace verge::registry_client {
namespace {

using http_client::Reply;

/// Of one piece where the registry takes no more at once.
constexpr std::uint64_t kPieceBytes = std::uint64_t{8} << 20U;

/// Where the registry wants what comes next.
struct Upload {
  Url place;
  std::uint64_t size_bytes = 0;  ///< That are there.
};

std::string what_of(const Descriptor& blob) {
  return "the upload of the blob " + blob.digest;
}

Result<Url> location_of(const Session& session, const Url& from, const Reply& reply) {
  const auto location = reply.header("location");
  if (location.empty()) {
    return Error(
        ErrorCode::data_loss, "VRG-REG-010",
        fmt::format("expected '{}' to name a place to upload to, got none; is it a registry?", session.name()));
  }
  return follow(from, location);
}

/// Bytes that "Range: 0-99" says are there.
std::uint64_t received(const Reply& reply) {
  auto range = reply.header("range");
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return 0;
  range.remove_prefix(2);
  std::uint64_t last = 0;
  const auto [end, failed] = std::from_chars(range.data(), range.data() + range.size(), last);
  // "0-0" stands for nothing as well as for one byte; what is sent twice is refused, and then it is known.
  return failed != std::errc{} || last == 0 ? 0 : last + 1;
}

Result<Upload> begin(Session& session, const Descriptor& blob) {
  Session::Order order;
  order.call.method = "POST";
  order.call.path = session.path("blobs/uploads/");
  order.push = true;
  VERGE_ASSIGN(const Reply reply, session.ask(order));
  if (reply.status != 202) return session.refusal(reply, what_of(blob));
  VERGE_ASSIGN(auto place, location_of(session, Url{session.origin(), order.call.path}, reply));
  return Upload{std::move(place), 0};
}

Session::Order order_for(const Session& session, const Upload& upload, std::string_view method) {
  Session::Order order;
  order.url = upload.place.origin + upload.place.path;
  order.push = true;
  order.call.method = method;
  order.call.content_type = "application/octet-stream";
  order.call.timeout = session.options().idle_timeout;
  return order;
}

Session::Order order_to_end(const Session& session, const Upload& upload, const Descriptor& blob) {
  auto order = order_for(session, upload, "PUT");
  order.url += upload.place.path.find('?') == std::string::npos ? '?' : '&';
  order.url += "digest=" + encode_percent(blob.digest);
  return order;
}

/// What is on its way, and how.
struct Sending {
  Session& session;
  const Descriptor& blob;
  const std::filesystem::path& file;
  const Progress& progress;
  std::uint64_t piece_bytes;  ///< 0: all at once.

  void give(Session::Order& order, std::uint64_t from, std::uint64_t length) const {
    order.call.body_file = file;
    order.call.body_offset_bytes = from;
    order.call.body_length_bytes = length;
    const auto& shown = blob.file_path.empty() ? blob.digest : blob.file_path;
    order.call.progress = [this, from, &shown](std::uint64_t done, std::uint64_t) {
      progress(shown, from + done, blob.size_bytes);
    };
  }
};

/// One piece behind what is there.
Result<Reply> send_piece(const Sending& sending, Upload& upload) {
  auto order = order_for(sending.session, upload, "PATCH");
  const auto left = sending.blob.size_bytes - upload.size_bytes;
  const auto length = sending.piece_bytes == 0 ? left : std::min(sending.piece_bytes, left);
  sending.give(order, upload.size_bytes, length);
  order.call.headers.emplace_back("Content-Range",
                                  fmt::format("{}-{}", upload.size_bytes, upload.size_bytes + length - 1));
  VERGE_ASSIGN(Reply reply, sending.session.send(order));
  if (reply.status != 202) return reply;
  VERGE_ASSIGN(upload.place, location_of(sending.session, upload.place, reply));
  upload.size_bytes += length;
  return reply;
}

/// All that is missing, to the end. What is 413 is too much for one request.
Result<Reply> send_rest(const Sending& sending, Upload& upload) {
  const auto& blob = sending.blob;
  if (sending.piece_bytes == 0 && upload.size_bytes == 0) {
    auto order = order_to_end(sending.session, upload, blob);
    sending.give(order, 0, blob.size_bytes);
    return sending.session.send(order);
  }
  while (upload.size_bytes < blob.size_bytes) {
    VERGE_ASSIGN(Reply reply, send_piece(sending, upload));
    if (reply.status != 202) return reply;
  }
  return sending.session.send(order_to_end(sending.session, upload, blob));
}

/// Asks where the upload stands; begins a new one when the registry has forgotten it.
Result<Upload> standing(Session& session, const Upload& upload, const Descriptor& blob) {
  const auto reply = session.ask(order_for(session, upload, "GET"));
  if (!reply || (reply->status != 204 && reply->status != 202)) return begin(session, blob);
  Upload there{upload.place, received(*reply)};
  if (!reply->header("location").empty()) {
    VERGE_ASSIGN(there.place, location_of(session, upload.place, *reply));
  }
  return there.size_bytes > blob.size_bytes ? begin(session, blob) : Result<Upload>(std::move(there));
}

}  // namespace

Result<void> upload_blob(Session& session, const Descriptor& blob, const std::filesystem::path& file,
                         const Progress& progress) {
  VERGE_ASSIGN(Upload upload, begin(session, blob));
  Sending sending{session, blob, file, progress, session.options().chunk_bytes};
  Patience patience(session.options());
  std::uint64_t known_bytes = 0;
  for (;;) {
    const auto reply = send_rest(sending, upload);
    if (reply && reply->status == 201) return {};
    Error failed = reply ? session.refusal(*reply, what_of(blob)) : reply.error();
    if (reply && reply->status == 413 && sending.piece_bytes == 0 && blob.size_bytes > kPieceBytes) {
      sending.piece_bytes = kPieceBytes;
      VERGE_ASSIGN(upload, begin(session, blob));
      continue;
    }
    // Another place in the content than the registry has come to.
    if (reply && reply->status == 416) failed = Error(ErrorCode::unavailable, failed.id(), failed.message());
    if (!patience.again(failed)) return failed;
    VERGE_ASSIGN(upload, standing(session, upload, blob));
    if (upload.size_bytes > known_bytes) patience.reset();
    known_bytes = std::max(known_bytes, upload.size_bytes);
  }
}

Result<bool> mount_blob(Session& session, const Descriptor& blob, const std::string& from_repository) {
  Session::Order order;
  order.call.method = "POST";
  order.call.path = session.path(
      fmt::format("blobs/uploads/?mount={}&from={}", encode_percent(blob.digest), encode_percent(from_repository)));
  order.push = true;
  order.also_from = from_repository;
  VERGE_ASSIGN(const Reply reply, session.ask(order));
  if (reply.status == 201) return true;
  if (reply.status != 202) return session.refusal(reply, "taking the blob " + blob.digest + " from " + from_repository);
  // The registry has begun an upload in its place, which is not wanted.
  VERGE_ASSIGN(auto place, location_of(session, Url{session.origin(), order.call.path}, reply));
  (void)session.send(order_for(session, Upload{std::move(place), 0}, "DELETE"));
  return false;
}

}  // namespace verge::registry_client
