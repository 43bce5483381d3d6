// Binary arithmetic coder: bits, each with the probability that a model gives it; and bits without one, beside them.
//
// The coder is that of M. Mahoney's lpaq (carry-less, 32 bits); a probability is the mean of a fast and a slow one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace verge::delta {

/// How likely the next bit is a 1, learned from those before. Sixteen bits of fraction.
class BitModel {
 public:
  [[nodiscard]] std::uint32_t one() const noexcept { return (std::uint32_t{fast_} + slow_) >> 1U; }
  void learn(bool bit) noexcept {
    constexpr unsigned kFast = 4;
    constexpr unsigned kSlow = 7;
    constexpr std::uint32_t kTop = 65535;
    if (bit) {
      fast_ = static_cast<std::uint16_t>(fast_ + ((kTop - fast_) >> kFast));
      slow_ = static_cast<std::uint16_t>(slow_ + ((kTop - slow_) >> kSlow));
    } else {
      fast_ = static_cast<std::uint16_t>(fast_ - (fast_ >> kFast));
      slow_ = static_cast<std::uint16_t>(slow_ - (slow_ >> kSlow));
    }
  }

 private:
  std::uint16_t fast_ = 32768;
  std::uint16_t slow_ = 32768;
};

/// What the next bit may be: up to `middle()` a 1, above it a 0.
class Interval {
 public:
  [[nodiscard]] std::uint32_t middle(const BitModel& model) const noexcept {
    return low + static_cast<std::uint32_t>((std::uint64_t{high - low} * model.one()) >> 16U);
  }
  void take(bool bit, std::uint32_t middle) noexcept { (bit ? high : low) = middle + (bit ? 0 : 1); }
  /// Whether its first byte is known: then shift() goes on behind it.
  [[nodiscard]] bool knows_a_byte() const noexcept { return ((low ^ high) >> 24U) == 0; }
  void shift() noexcept {
    low <<= 8U;
    high = (high << 8U) | 255U;
  }
  std::uint32_t low = 0;
  std::uint32_t high = 0xFFFFFFFF;
};

/// Both give the same bits to the same models in the same order: `code(model, bit)` writes the bit and returns it, or
/// ignores it and returns the one that was written.
class Encoder {
 public:
  bool code(BitModel& model, bool bit) {
    interval_.take(bit, interval_.middle(model));
    model.learn(bit);
    for (; interval_.knows_a_byte(); interval_.shift()) coded_.push_back(static_cast<std::byte>(interval_.high >> 24U));
    return bit;
  }
  /// The lowest `count` (0 to 56) bits of `value`, as they are.
  std::uint64_t plain(std::uint64_t value, unsigned count) {
    waiting_ |= value << waiting_bits_;
    waiting_bits_ += count;
    while (waiting_bits_ >= 8) {
      plain_.push_back(static_cast<std::byte>(waiting_ & 255U));
      waiting_ >>= 8U;
      waiting_bits_ -= 8;
    }
    return value;
  }
  void finish() {
    for (int i = 0; i < 4; ++i, interval_.shift()) coded_.push_back(static_cast<std::byte>(interval_.low >> 24U));
    if (waiting_bits_ > 0) plain_.push_back(static_cast<std::byte>(waiting_));
  }
  [[nodiscard]] const std::vector<std::byte>& coded() const noexcept { return coded_; }
  [[nodiscard]] const std::vector<std::byte>& plain_bits() const noexcept { return plain_; }

 private:
  Interval interval_;
  std::vector<std::byte> coded_;
  std::vector<std::byte> plain_;
  std::uint64_t waiting_ = 0;
  unsigned waiting_bits_ = 0;
};

/// Of bytes that may be anything: past their end it reads zeros.
class Decoder {
 public:
  Decoder(std::span<const std::byte> coded, std::span<const std::byte> plain) : coded_(coded), plain_(plain) {
    for (int i = 0; i < 4; ++i) code_ = (code_ << 8U) | next(coded_, at_);
  }
  bool code(BitModel& model, bool /*bit*/) {
    const auto middle = interval_.middle(model);
    const bool bit = code_ <= middle;
    interval_.take(bit, middle);
    model.learn(bit);
    for (; interval_.knows_a_byte(); interval_.shift()) code_ = (code_ << 8U) | next(coded_, at_);
    return bit;
  }
  std::uint64_t plain(std::uint64_t /*value*/, unsigned count) {
    while (waiting_bits_ < count) {
      waiting_ |= std::uint64_t{next(plain_, plain_at_)} << waiting_bits_;
      waiting_bits_ += 8;
    }
    const auto value = waiting_ & ((std::uint64_t{1} << count) - 1);
    waiting_ >>= count;
    waiting_bits_ -= count;
    return value;
  }

 private:
  static std::uint32_t next(std::span<const std::byte> bytes, std::size_t& at) noexcept {
    return at < bytes.size() ? std::to_integer<std::uint32_t>(bytes[at++]) : 0;
  }
  std::span<const std::byte> coded_;
  std::span<const std::byte> plain_;
  std::size_t at_ = 0;
  std::size_t plain_at_ = 0;
  Interval interval_;
  std::uint32_t code_ = 0;
  std::uint64_t waiting_ = 0;
  unsigned waiting_bits_ = 0;
};

/// A number of `Bits` bits, from the highest on, each with a model of its own for what came before it.
template <unsigned Bits>
class NumberModel {
 public:
  template <typename Coder>
  std::uint32_t code(Coder& coder, std::uint32_t number) {
    std::uint32_t node = 1;
    for (unsigned bit = Bits; bit-- > 0;) {
      node = (node << 1U) | (coder.code(models_[node], ((number >> bit) & 1U) != 0) ? 1U : 0U);
    }
    return node - (1U << Bits);
  }

 private:
  BitModel models_[std::size_t{1} << Bits];
};

}  // namespace verge::delta
