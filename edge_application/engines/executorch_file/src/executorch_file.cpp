// Field numbers: executorch/schema/program.fbs (BSD-3-Clause), mark "ET12".
#include "verge/engines/executorch_file.hpp"

#include <array>
#include <cstring>
#include <string_view>

#include "verge/engines/flatbuffer.hpp"
#include "xnnpack_graph.hpp"

namespace verge::engines {
namespace {

using executorch_file::Surroundings;
using flatbuffer::Elements;
using flatbuffer::Table;
using flatbuffer::throw_damaged;

namespace program_field {
constexpr unsigned kPlans = 1, kInlineData = 3, kSegments = 4, kNamedData = 7;
}
namespace plan_field {
constexpr unsigned kValues = 2, kChains = 5, kDelegates = 7;
}
namespace delegate_field {
constexpr unsigned kId = 0, kProcessed = 1;
}
constexpr std::uint8_t kDelegateCall = 2;  // In InstructionArguments.
constexpr std::uint8_t kTensor = 5;        // In KernelTypes.
constexpr std::size_t kHeaderBytes = 32;   // "eh00" and three numbers, behind the root's offset and the mark.
constexpr std::size_t kShortestProgram = 64;

/// Bytes of an element by ExecuTorch's ScalarType; 0 for what XNNPACK does not take.
std::size_t element_bytes(std::int8_t type) {
  // Byte, Char, Short, Int, Long, Half, Float, Double, three complex ones, Bool, QInt8, QUInt8, QInt32, BFloat16.
  static constexpr std::array<std::size_t, 16> kBytes{1, 1, 2, 4, 8, 2, 4, 8, 0, 0, 0, 1, 1, 1, 4, 2};
  const auto index = static_cast<std::uint8_t>(type);  // A negative one becomes larger than any that is known.
  return index < kBytes.size() ? kBytes.at(index) : 0;
}

class Program {
 public:
  explicit Program(std::span<const std::byte> file) : file_(file), root_(Table::root(file)) {
    if (std::memcmp(file.data() + 8, "eh00", 4) == 0) {
      std::memcpy(&segment_base_, file.data() + 24, sizeof(segment_base_));
      if (segment_base_ > file.size()) throw_damaged("its segments begin behind its end");
    }
    segments_ = root_.tables(program_field::kSegments);
  }

  void check() const {
    const Elements plans = root_.tables(program_field::kPlans);
    for (std::size_t i = 0; i < plans.count; ++i) check_plan(plans.table(i));
  }

 private:
  std::span<const std::byte> segment(std::uint64_t index) const {
    if (index >= segments_.count) throw_damaged("a segment is named that is not there");
    const Table segment = segments_.table(static_cast<std::size_t>(index));
    const auto offset = segment.scalar<std::uint64_t>(0);
    const auto size = segment.scalar<std::uint64_t>(1);
    const std::uint64_t room = file_.size() - segment_base_;
    if (offset > room || size > room - offset) throw_damaged("a segment lies outside the file");
    return file_.subspan(static_cast<std::size_t>(segment_base_ + offset), static_cast<std::size_t>(size));
  }

  std::span<const std::byte> delegate_data(const Table& delegate) const {
    const Table processed = delegate.table(delegate_field::kProcessed);
    const auto index = processed.scalar<std::uint32_t>(1);
    if (processed.scalar<std::uint8_t>(0) != 0) return segment(index);
    const Elements held = root_.tables(program_field::kInlineData);
    if (index >= held.count) throw_damaged("a delegate's data are not there");
    const Elements data = held.table(index).scalars<std::uint8_t>(0);
    return file_.subspan(data.position, data.count);
  }

  std::optional<std::uint64_t> named_size(std::string_view name) const {
    const Elements named = root_.tables(program_field::kNamedData);
    for (std::size_t i = 0; i < named.count; ++i) {
      const Table entry = named.table(i);
      if (entry.text(0) == name) return segment(entry.scalar<std::uint32_t>(1)).size();
    }
    return std::nullopt;
  }

  void check_plan(const Table& plan) const {
    const Elements delegates = plan.tables(plan_field::kDelegates);
    const Elements chains = plan.tables(plan_field::kChains);
    for (std::size_t i = 0; i < chains.count; ++i) {
      const Elements instructions = chains.table(i).tables(2);
      for (std::size_t j = 0; j < instructions.count; ++j) {
        const Table instruction = instructions.table(j);
        if (instruction.scalar<std::uint8_t>(0) == kDelegateCall) check_call(plan, delegates, instruction.table(1));
      }
    }
  }

  void check_call(const Table& plan, const Elements& delegates, const Table& call) const {
    const auto index = call.scalar<std::int32_t>(0);
    if (index < 0 || static_cast<std::size_t>(index) >= delegates.count) {
      throw_damaged("a delegate is called that is not there");
    }
    const Table delegate = delegates.table(static_cast<std::size_t>(index));
    if (delegate.text(delegate_field::kId) != "XnnpackBackend") return;
    const Elements values = plan.tables(plan_field::kValues);
    const Elements arguments = call.scalars<std::int32_t>(1);
    Surroundings surroundings;
    surroundings.named_size_bytes = [this](std::string_view name) { return named_size(name); };
    for (std::size_t i = 0; i < arguments.count; ++i) {
      const auto argument = arguments.scalar<std::int32_t>(i);
      if (argument < 0 || static_cast<std::size_t>(argument) >= values.count) {
        throw_damaged("a delegate gets a value that is not there");
      }
      const Table value = values.table(static_cast<std::size_t>(argument));
      const bool is_tensor = value.scalar<std::uint8_t>(0) == kTensor;
      surroundings.argument_element_bytes.push_back(is_tensor ? element_bytes(value.table(1).scalar<std::int8_t>(0))
                                                              : 0);
    }
    check_xnnpack_graph(delegate_data(delegate), surroundings);
  }

  std::span<const std::byte> file_;
  Table root_;
  Elements segments_;
  std::uint64_t segment_base_ = 0;
};

}  // namespace

void check_executorch(std::span<const std::byte> file) {
  static_assert(kHeaderBytes + 8 <= kShortestProgram);
  if (file.size() < kShortestProgram || std::memcmp(file.data() + 4, "ET12", 4) != 0) {
    throw Failure(VERGE_ENGINE_CORRUPT, "the file is no ExecuTorch program (it lacks the mark 'ET12'); get it again");
  }
  Program(file).check();
}

}  // namespace verge::engines
