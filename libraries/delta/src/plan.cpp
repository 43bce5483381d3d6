#include "plan.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <tuple>

#include "element_coder.hpp"
#include "packed.hpp"

namespace verge::delta {
namespace {

using model_file::ElementKind;
using model_file::FileTensor;

/// Bytes without tensors are looked at as numbers only where there are many of them.
constexpr std::uint64_t kLargeGap_bytes = 64U << 10U;
constexpr std::uint64_t kSample_bytes = 64U << 10U;
constexpr std::uint64_t kSamples = 4;

/// A way to make some bytes, and what it costs a byte.
struct Way {
  Operation operation = Operation::other;
  ElementKind kind = ElementKind::int8;
  std::uint64_t phase_bytes = 0;  ///< Before the first element.
  double cost = 1;
};

/// Calls `each(offset, size)` for a few pieces, or for all of it, each of whole elements.
template <typename Each>
void each_sample(std::uint64_t size_bytes, std::uint64_t element_bytes, Each each) {
  if (size_bytes <= kSamples * kSample_bytes) return each(0, size_bytes / element_bytes * element_bytes);
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    each((size_bytes - kSample_bytes) / (kSamples - 1) * i / element_bytes * element_bytes, kSample_bytes);
  }
}

/// Bytes that a byte of `fresh` costs; `old`: of the same size, or empty.
double coded_cost(ElementKind kind, Bytes old, Bytes fresh) {
  ElementCoder coder(kind);
  Encoder encoder;
  std::uint64_t tried = 0;
  each_sample(fresh.size(), model_file::size_bytes(kind), [&](std::uint64_t offset, std::uint64_t size) {
    coder.encode(encoder, old.empty() ? old : part(old, offset, size), part(fresh, offset, size));
    tried += size;
  });
  encoder.finish();
  return static_cast<double>(encoder.coded().size() + encoder.plain_bits().size()) /
         static_cast<double>(std::max<std::uint64_t>(tried, 1));
}

double packed_cost(Bytes fresh, Bytes prefix) {
  std::vector<std::byte> samples;
  each_sample(fresh.size(), 1, [&](std::uint64_t offset, std::uint64_t size) {
    const auto piece = part(fresh, offset, size);
    samples.insert(samples.end(), piece.begin(), piece.end());
  });
  return static_cast<double>(quickly_packed_bytes(samples, prefix)) /
         static_cast<double>(std::max<std::size_t>(samples.size(), 1));
}

void keep_cheaper(Way& best, const Way& other) {
  if (other.cost < best.cost) best = other;
}

Way way_for_tensor(ElementKind kind, Bytes old, Bytes fresh) {
  if (!old.empty() && std::ranges::equal(old, fresh)) return {Operation::copy, ElementKind::int8, 0, 0};
  Way best{Operation::other, ElementKind::int8, 0, packed_cost(fresh, {})};
  keep_cheaper(best, {Operation::values, kind, 0, coded_cost(kind, {}, fresh)});
  if (!old.empty()) keep_cheaper(best, {Operation::difference, kind, 0, coded_cost(kind, old, fresh)});
  return best;
}

/// For bytes of which nothing is known. `old`: those that lie at the same place in the old file, or empty.
Way way_for_gap(Bytes whole_old, Bytes old, Bytes fresh) {
  Way best{Operation::other, ElementKind::int8, 0,
           packed_cost(fresh, whole_old.first(std::min(whole_old.size(), kDictionary_bytes)))};
  for (const auto kind : {ElementKind::int8, ElementKind::float16, ElementKind::float32}) {
    for (std::uint64_t phase = 0; phase < model_file::size_bytes(kind); ++phase) {
      const auto shifted = fresh.subspan(static_cast<std::size_t>(phase));
      keep_cheaper(best, {Operation::values, kind, phase, coded_cost(kind, {}, shifted)});
      if (old.empty()) continue;
      keep_cheaper(best, {Operation::difference, kind, phase,
                          coded_cost(kind, old.subspan(static_cast<std::size_t>(phase)), shifted)});
    }
  }
  return best;
}

/// The old tensor for each new one, by name, else by place among those of its kind and size; null: none.
std::vector<const FileTensor*> match(const std::vector<FileTensor>& old, const std::vector<FileTensor>& fresh) {
  using Looks = std::tuple<ElementKind, std::uint64_t>;
  std::map<std::tuple<std::string_view, Looks>, std::deque<const FileTensor*>> by_name;
  for (const auto& tensor : old) {
    by_name[{tensor.name, {tensor.kind, tensor.size_bytes}}].push_back(&tensor);
  }
  std::vector<const FileTensor*> matched;
  for (const auto& tensor : fresh) {
    auto& same = by_name[{tensor.name, {tensor.kind, tensor.size_bytes}}];
    matched.push_back(same.empty() ? nullptr : same.front());
    if (!same.empty()) same.pop_front();
  }
  std::vector<const FileTensor*> left;
  for (const auto& [name, tensors] : by_name) left.insert(left.end(), tensors.begin(), tensors.end());
  std::ranges::sort(left, {}, &FileTensor::offset_bytes);
  std::map<Looks, std::deque<const FileTensor*>> by_looks;
  for (const auto* tensor : left) by_looks[{tensor->kind, tensor->size_bytes}].push_back(tensor);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    if (matched[i] != nullptr) continue;
    auto& same = by_looks[{fresh[i].kind, fresh[i].size_bytes}];
    if (same.empty()) continue;
    matched[i] = same.front();
    same.pop_front();
  }
  return matched;
}

class Planner {
 public:
  Planner(const Content& old, const Content& fresh) : old_(old), fresh_(fresh) {}

  std::vector<Segment> plan() {
    const auto matched = match(old_.tensors, fresh_.tensors);
    for (std::size_t i = 0; i < fresh_.tensors.size(); ++i) {
      const auto& tensor = fresh_.tensors[i];
      gap_until(tensor.offset_bytes);
      const auto* before = matched[i];
      const auto old = before == nullptr ? Bytes() : part(old_.bytes, before->offset_bytes, before->size_bytes);
      const auto fresh = part(fresh_.bytes, tensor.offset_bytes, tensor.size_bytes);
      add(way_for_tensor(tensor.kind, old, fresh), before == nullptr ? 0 : before->offset_bytes, tensor.size_bytes);
      if (before != nullptr) {
        shift_ = static_cast<std::int64_t>(before->offset_bytes) - static_cast<std::int64_t>(tensor.offset_bytes);
      }
    }
    gap_until(fresh_.bytes.size());
    return std::move(segments_);
  }

 private:
  void gap_until(std::uint64_t end) {
    const auto size = end - at_;
    if (size < kLargeGap_bytes) return add({}, 0, size);
    const auto old_at = static_cast<std::int64_t>(at_) + shift_;
    const bool lies_there =
        old_at >= 0 && static_cast<std::uint64_t>(old_at) + size <= static_cast<std::uint64_t>(old_.bytes.size());
    const auto old = lies_there ? part(old_.bytes, static_cast<std::uint64_t>(old_at), size) : Bytes();
    const auto way = way_for_gap(old_.bytes, old, part(fresh_.bytes, at_, size));
    const auto element = model_file::size_bytes(way.kind);
    const auto numbers = (size - way.phase_bytes) / element * element;
    add({}, 0, way.phase_bytes);
    add(way, static_cast<std::uint64_t>(std::max<std::int64_t>(old_at, 0)) + way.phase_bytes, numbers);
    add({}, 0, size - way.phase_bytes - numbers);
  }

  void add(const Way& way, std::uint64_t old_offset, std::uint64_t size) {
    at_ += size;
    while (size > 0) {
      const auto piece = std::min<std::uint64_t>(size, kPiece_bytes);
      const bool numbers = way.operation == Operation::difference || way.operation == Operation::values;
      Segment segment{way.operation, piece};
      if (numbers) segment.kind = way.kind;
      if (needs_old(segment)) segment.old_offset_bytes = old_offset;
      join(segment);
      old_offset += piece;
      size -= piece;
    }
  }
  /// Neighbours that come from neighbours are one segment.
  void join(const Segment& segment) {
    if (!segments_.empty() && !is_coded(segment)) {
      auto& last = segments_.back();
      const bool follows =
          last.operation == segment.operation && (segment.operation == Operation::other ||
                                                  last.old_offset_bytes + last.size_bytes == segment.old_offset_bytes);
      if (follows && last.size_bytes + segment.size_bytes <= kPiece_bytes) {
        last.size_bytes += segment.size_bytes;
        return;
      }
    }
    segments_.push_back(segment);
  }

  const Content& old_;
  const Content& fresh_;
  std::vector<Segment> segments_;
  std::uint64_t at_ = 0;
  std::int64_t shift_ = 0;  ///< From a place in the new file to that in the old one, as the last tensor had it.
};

}  // namespace

std::vector<Segment> make_plan(const Content& old, const Content& fresh) {
  return Planner(old, fresh).plan();
}

std::vector<Segment> plain_plan(std::uint64_t new_size_bytes) {
  std::vector<Segment> segments;
  for (std::uint64_t at = 0; at < new_size_bytes; at += kPiece_bytes) {
    segments.push_back({Operation::other, std::min<std::uint64_t>(kPiece_bytes, new_size_bytes - at)});
  }
  return segments;
}

}  // namespace verge::delta
