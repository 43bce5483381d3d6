#include "element_coder.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace verge::delta {
namespace {

using model_file::ElementKind;

/// Differences of tensors with older ones. `FractionBits`: of a float, below its exponent; 0: an integer.
template <unsigned Bits, unsigned FractionBits>
class Differences {
 public:
  template <typename Coder>
  std::uint64_t code(Coder& coder, std::uint64_t old, std::uint64_t fresh) {
    const std::uint64_t before = ordered(old);
    const std::uint64_t difference = (ordered(fresh) - before) & kMask;
    const bool falls = ((difference >> (Bits - 1)) & 1U) != 0;
    const std::uint64_t size = falls ? (kMask - difference + 1) & kMask : difference;
    const auto exponent = exponent_of(old);
    const std::size_t expected = context(exponent);
    const auto length =
        std::min(lengths_[expected].code(coder, static_cast<std::uint32_t>(std::bit_width(size))), Bits);
    std::uint64_t value = 0;
    bool down = false;
    if (length > 0) {
      const bool negative = ((old >> (Bits - 1)) & 1U) != 0;
      down = coder.code(signs_[expected][negative ? 1 : 0], falls);
      value = code_size(coder, size, length);
    }
    remember(exponent, length, value);
    return unordered((before + (down ? kMask - value + 1 : value)) & kMask);
  }

 private:
  static constexpr std::uint64_t kMask = ~std::uint64_t{0} >> (64 - Bits);
  static constexpr std::uint64_t kTop = std::uint64_t{1} << (Bits - 1);
  static constexpr unsigned kModelled = 3;  ///< Bits behind the leading one.
  static constexpr std::size_t kContexts = 160;
  static constexpr int kHalfBits_offset = 8;  ///< Of a context, for differences that are expected to be 0.

  static std::uint64_t ordered(std::uint64_t bits) {
    if constexpr (FractionBits == 0) {
      return bits;
    } else {
      return (bits & kTop) != 0 ? ~bits & kMask : bits | kTop;
    }
  }
  static std::uint64_t unordered(std::uint64_t value) {
    if constexpr (FractionBits == 0) {
      return value;
    } else {
      return (value & kTop) != 0 ? value & ~kTop : ~value & kMask;
    }
  }
  static int exponent_of(std::uint64_t bits) {
    return FractionBits == 0 ? 0 : static_cast<int>((bits & ~kTop) >> FractionBits);
  }
  /// What length is expected, in half bits.
  [[nodiscard]] std::size_t context(int exponent) const {
    const int half_bits =
        ((level_ >> kLevelBits) - (exponent << kFraction) + (1 << (kFraction - 2))) >> (kFraction - 1);
    return static_cast<std::size_t>(std::clamp(half_bits + kHalfBits_offset, 0, static_cast<int>(kContexts) - 1));
  }
  /// The leading bit is known, those behind it are learned, the others written as they are.
  template <typename Coder>
  std::uint64_t code_size(Coder& coder, std::uint64_t size, unsigned length) {
    const unsigned behind = length - 1;
    const unsigned modelled = std::min(behind, kModelled);
    std::uint64_t value = 1;
    std::size_t node = 1;
    for (unsigned bit = 0; bit < modelled; ++bit) {
      const bool one = coder.code(upper_[length][node], ((size >> (behind - 1 - bit)) & 1U) != 0);
      node = node * 2 + (one ? 1 : 0);
      value = value * 2 + (one ? 1 : 0);
    }
    unsigned left = behind - modelled;
    if (left > 32) {
      value = (value << (left - 32)) | coder.plain((size >> 32U) & ((std::uint64_t{1} << (left - 32)) - 1), left - 32);
      left = 32;
    }
    return (value << left) | coder.plain(size & ((std::uint64_t{1} << left) - 1), left);
  }
  void remember(int exponent, unsigned length, std::uint64_t value) {
    // The logarithm to base 2, with a linear fraction; 0 counts as a half.
    const int logarithm = length == 0 ? -(1 << kFraction)
                                      : (static_cast<int>(length - 1) << kFraction) +
                                            static_cast<int>(((value << (64 - length)) << 1U) >> (64 - kFraction));
    const int now = logarithm + (exponent << kFraction);
    level_ += now - (level_ >> kLevelBits);
  }

  static constexpr unsigned kFraction = 8;
  static constexpr unsigned kLevelBits = 4;  ///< The mean of about so many powers of two of the last ones.
  int level_ = 0;
  std::array<NumberModel<7>, kContexts> lengths_;
  std::array<std::array<BitModel, 2>, kContexts> signs_;
  std::array<std::array<BitModel, 1U << (kModelled + 1)>, Bits + 1> upper_;
};

/// Numbers as they are: bytes from the highest on, the first in the context of the last element's, the second in that
/// of the first. The lowest of floats are noise, and cost as much as they are long.
template <unsigned Bits>
class Values {
 public:
  template <typename Coder>
  std::uint64_t code(Coder& coder, std::uint64_t fresh) {
    std::uint64_t value = 0;
    std::uint32_t above = last_;
    for (unsigned plane = 0; plane < kPlanes; ++plane) {
      const auto byte = static_cast<std::uint32_t>((fresh >> (Bits - 8 * (plane + 1))) & 255U);
      const auto coded = plane < 2 ? bytes_[plane][above].code(coder, byte) : lower_[plane].code(coder, byte);
      if (plane == 0) last_ = kPlanes == 1 ? coded >> 5U : coded;
      above = coded;
      value = (value << 8U) | coded;
    }
    return value;
  }

 private:
  static constexpr unsigned kPlanes = Bits / 8;
  std::uint32_t last_ = 0;
  std::array<std::array<NumberModel<8>, 256>, std::min(kPlanes, 2U)> bytes_;
  std::array<NumberModel<8>, kPlanes> lower_;
};

template <unsigned Bits>
std::uint64_t load(const std::byte* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, Bits / 8);
  return value;
}

}  // namespace

struct ElementCoder::State {
  virtual ~State() = default;
  virtual void code(Encoder& coder, Bytes old, std::span<std::byte> fresh) = 0;
  virtual void code(Decoder& coder, Bytes old, std::span<std::byte> fresh) = 0;
};

namespace {

template <typename Base, unsigned Bits, unsigned FractionBits>
class OfKind final : public Base {
 public:
  void code(Encoder& coder, Bytes old, std::span<std::byte> fresh) override { go(coder, old, fresh); }
  void code(Decoder& coder, Bytes old, std::span<std::byte> fresh) override { go(coder, old, fresh); }

 private:
  template <typename Coder>
  void go(Coder& coder, Bytes old, std::span<std::byte> fresh) {
    constexpr std::size_t kSize_bytes = Bits / 8;
    for (std::size_t at = 0; at + kSize_bytes <= fresh.size(); at += kSize_bytes) {
      std::byte* place = fresh.data() + at;
      const auto given = load<Bits>(place);
      const auto value =
          old.empty() ? values().code(coder, given) : differences().code(coder, load<Bits>(old.data() + at), given);
      std::memcpy(place, &value, kSize_bytes);
    }
  }
  auto& differences() {
    if (!differences_) differences_ = std::make_unique<Differences<Bits, FractionBits>>();
    return *differences_;
  }
  auto& values() {
    if (!values_) values_ = std::make_unique<Values<Bits>>();
    return *values_;
  }
  std::unique_ptr<Differences<Bits, FractionBits>> differences_;
  std::unique_ptr<Values<Bits>> values_;
};

}  // namespace

ElementCoder::ElementCoder(ElementKind kind) {
  switch (kind) {
    case ElementKind::int8: state_ = std::make_unique<OfKind<State, 8, 0>>(); break;
    case ElementKind::int16: state_ = std::make_unique<OfKind<State, 16, 0>>(); break;
    case ElementKind::int32: state_ = std::make_unique<OfKind<State, 32, 0>>(); break;
    case ElementKind::int64: state_ = std::make_unique<OfKind<State, 64, 0>>(); break;
    case ElementKind::float16: state_ = std::make_unique<OfKind<State, 16, 10>>(); break;
    case ElementKind::bfloat16: state_ = std::make_unique<OfKind<State, 16, 7>>(); break;
    case ElementKind::float32: state_ = std::make_unique<OfKind<State, 32, 23>>(); break;
    case ElementKind::float64: state_ = std::make_unique<OfKind<State, 64, 52>>(); break;
  }
}
ElementCoder::~ElementCoder() = default;
ElementCoder::ElementCoder(ElementCoder&&) noexcept = default;
ElementCoder& ElementCoder::operator=(ElementCoder&&) noexcept = default;

void ElementCoder::encode(Encoder& coder, Bytes old, Bytes fresh) {
  // An Encoder returns what it was given, so that nothing changes here.
  std::vector<std::byte> same(fresh.begin(), fresh.end());
  state_->code(coder, old, same);
}

void ElementCoder::decode(Decoder& coder, Bytes old, std::span<std::byte> fresh) {
  state_->code(coder, old, fresh);
}

}  // namespace verge::delta
