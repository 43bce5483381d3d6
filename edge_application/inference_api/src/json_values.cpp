#include "json_values.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "malformed.hpp"

namespace verge::inference_api {
namespace {

using processing::DataType;

/// Goes through nested lists; `read` takes one value at the front of a text and gives what is behind it, or null.
template <typename T, typename Read>
class ValueList {
 public:
  ValueList(std::string_view text, std::span<T> out, Read read)
      : at_(text.data()), end_(text.data() + text.size()), out_(out), read_(read) {}

  /// False on a wrong or surplus value, or what is no list at all.
  bool write() {
    bool wants_value = true;
    int depth = 0;
    do {
      skip_space();
      if (at_ == end_) return false;
      if (wants_value && *at_ == '[') {
        ++depth;
        ++at_;
        skip_space();
        if (at_ != end_ && *at_ == ']') wants_value = false;
      } else if (!wants_value && *at_ == ']') {
        --depth;
        ++at_;
      } else if (!wants_value && *at_ == ',' && depth > 0) {
        ++at_;
        wants_value = true;
      } else {
        if (!wants_value || depth == 0 || count_ == out_.size()) return false;
        const char* const behind = read_(at_, end_, out_[count_]);
        if (behind == nullptr) return false;
        at_ = behind;
        ++count_;
        wants_value = false;
        if (!read_row()) return false;
      }
    } while (depth > 0);
    return at_ == end_;
  }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

 private:
  /// The values that follow the last one without space, which nearly all do.
  bool read_row() {
    while (end_ - at_ > 1 && *at_ == ',' && at_[1] > ' ' && at_[1] != '[') {
      if (count_ == out_.size()) return false;
      const char* const behind = read_(at_ + 1, end_, out_[count_]);
      if (behind == nullptr) return false;
      at_ = behind;
      ++count_;
    }
    return true;
  }
  void skip_space() noexcept {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  const char* at_;
  const char* end_;
  std::span<T> out_;
  Read read_;
  std::size_t count_ = 0;
};

/// JSON knows no "+1", ".5", "01", "inf" or "nan", which from_chars() would partly take.
bool starts_as_number(const char* at, const char* end) noexcept {
  if (at != end && *at == '-') ++at;
  if (at == end || *at < '0' || *at > '9') return false;
  return *at != '0' || at + 1 == end || at[1] < '0' || at[1] > '9';
}

/// A number ends at a comma, a bracket or space.
const char* ended(const char* at, const char* end) noexcept {
  return at != end && (*at == ',' || *at == ']' || *at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') ? at
                                                                                                            : nullptr;
}

template <typename T>
const char* read_real(const char* at, const char* end, T& out) noexcept {
  if (!starts_as_number(at, end)) return nullptr;
  const auto read = std::from_chars(at, end, out);
  if (read.ec == std::errc{}) return ended(read.ptr, end);
  if (read.ec != std::errc::result_out_of_range) return nullptr;
  // Too large, or so small that it is nothing.
  double wide = 0;
  if constexpr (std::is_same_v<T, float>) {
    if (std::from_chars(at, end, wide).ec == std::errc{} &&
        std::fabs(wide) < static_cast<double>(std::numeric_limits<float>::min())) {
      out = static_cast<float>(wide);
      return ended(read.ptr, end);
    }
  }
  const std::string_view text(at, static_cast<std::size_t>(read.ptr - at));
  const auto exponent = text.find_first_of("eE");
  if (exponent == std::string_view::npos || exponent + 1 >= text.size() || text[exponent + 1] != '-') return nullptr;
  out = 0;
  return ended(read.ptr, end);
}

/// Of one, two or three digits, as most 8-bit values have; null for others, which may be right all the same.
inline const char* read_few_digits(const char* at, const char* end, unsigned& out) noexcept {
  constexpr std::ptrdiff_t kDigits = 3;
  if (end - at <= kDigits) return nullptr;
  const auto digit = [&](int i) { return static_cast<unsigned>(static_cast<unsigned char>(at[i])) - '0'; };
  const unsigned first = digit(0);
  if (first > 9) return nullptr;
  out = first;
  const unsigned second = digit(1);
  if (second > 9) return ended(at + 1, end);
  if (first == 0) return nullptr;
  out = out * 10 + second;
  const unsigned third = digit(2);
  if (third > 9) return ended(at + 2, end);
  out = out * 10 + third;
  return ended(at + 3, end);
}

template <typename T>
const char* read_whole(const char* at, const char* end, T& out) noexcept {
  unsigned few = 0;
  if (const char* const behind = read_few_digits(at, end, few);
      behind != nullptr && few <= static_cast<std::make_unsigned_t<T>>(std::numeric_limits<T>::max())) {
    out = static_cast<T>(few);
    return behind;
  }
  if (!starts_as_number(at, end)) return nullptr;
  if (std::is_unsigned_v<T> && *at == '-' && at + 1 != end && at[1] == '0') ++at;  // -0
  const auto read = std::from_chars(at, end, out);
  return read.ec == std::errc{} ? ended(read.ptr, end) : nullptr;
}

const char* read_half(const char* at, const char* end, std::uint16_t& out) noexcept {
  float value = 0;
  const char* const behind = read_real(at, end, value);
  if (behind != nullptr) out = processing::float_to_half(value);
  return behind;
}

const char* read_bool(const char* at, const char* end, std::uint8_t& out) noexcept {
  const std::string_view text(at, static_cast<std::size_t>(end - at));
  const std::size_t length = text.starts_with("true")                         ? 4
                             : text.starts_with("false")                      ? 5
                             : text.starts_with('0') || text.starts_with('1') ? 1
                                                                              : 0;
  if (length == 0) return nullptr;
  out = text[0] == 't' || text[0] == '1' ? 1 : 0;
  return ended(at + length, end);
}

struct Outcome {
  bool fits = false;
  std::size_t count = 0;
};

template <typename T, typename Read>
Outcome write_values(std::string_view list, const processing::TensorView& tensor, Read read) {
  ValueList<T, Read> values(list, tensor.as<T>(), read);
  const bool fits = values.write();
  return {fits, values.count()};
}

Outcome write(std::string_view list, const processing::TensorView& tensor) {
  const auto whole = [&]<typename T>(T) { return write_values<T>(list, tensor, read_whole<T>); };
  switch (tensor.datatype) {
    case DataType::fp32: return write_values<float>(list, tensor, read_real<float>);
    case DataType::fp64: return write_values<double>(list, tensor, read_real<double>);
    case DataType::fp16: return write_values<std::uint16_t>(list, tensor, read_half);
    case DataType::bool_: return write_values<std::uint8_t>(list, tensor, read_bool);
    case DataType::uint8: return whole(std::uint8_t{});
    case DataType::uint16: return whole(std::uint16_t{});
    case DataType::uint32: return whole(std::uint32_t{});
    case DataType::uint64: return whole(std::uint64_t{});
    case DataType::int8: return whole(std::int8_t{});
    case DataType::int16: return whole(std::int16_t{});
    case DataType::int32: return whole(std::int32_t{});
    case DataType::int64: return whole(std::int64_t{});
    case DataType::bf16:
    case DataType::bytes: break;
  }
  return {};
}

}  // namespace

Result<void> write_json_values(std::string_view list, const processing::TensorSpec& spec,
                               const processing::TensorView& tensor) {
  const auto outcome = write(list, tensor);
  const auto expected = processing::element_count(tensor.shape).value_or(0);
  if (outcome.fits && outcome.count == expected) return {};
  return malformed(
      "VRG-API-013",
      fmt::format("input '{}': expected {} {} values in 'data', got {}{}; for example {}", spec.name, expected,
                  processing::name(spec.datatype), outcome.count,
                  outcome.fits ? "" : " and then one that does not fit (too many, too large, or of another type)",
                  example(spec)));
}

}  // namespace verge::inference_api
