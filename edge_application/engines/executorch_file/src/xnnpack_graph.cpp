// Field numbers: executorch/backends/xnnpack/serialization/runtime_schema.fbs (BSD-3-Clause), marks "XN00", "XN01".
#include "xnnpack_graph.hpp"

#include <array>
#include <cstring>
#include <map>

#include "verge/engines/flatbuffer.hpp"

namespace verge::engines::executorch_file {
namespace {

using flatbuffer::Elements;
using flatbuffer::Table;
using flatbuffer::throw_damaged;

namespace graph_field {
constexpr unsigned kNodes = 1, kValues = 2, kExternals = 3, kInlineConstants = 6, kConstants = 8;
}
namespace tensor_field {
constexpr unsigned kType = 0, kDimensions = 2, kConstant = 3, kExternal = 4, kId = 6;
}
namespace conv_field {
constexpr unsigned kKernelHeight = 4, kKernelWidth = 5, kSubsampling = 6, kGroupInputs = 10, kGroupOutputs = 11,
                   kGroups = 12, kInput = 15, kFilter = 16, kBias = 17, kFlags = 19;
}

constexpr std::uint32_t kNone = 0xFFFFFFFF;  // XNN_INVALID_VALUE_ID
constexpr std::size_t kMostDimensions = 6;   // XNN_MAX_TENSOR_DIMS
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 32U;
constexpr std::uint32_t kMostOfANumber = 1U << 16U;
constexpr std::uint32_t kTransposedWeights = 1;  // XNN_FLAG_TRANSPOSE_WEIGHTS, and of a convolution: depthwise weights
constexpr std::uint32_t kSamePadding = 4;        // XNN_FLAG_TENSORFLOW_SAME_PADDING

enum Node : std::uint8_t {  // XNodeUnion
  kFullyConnected = 2,
  kTranspose = 5,
  kConv2d = 7,
  kResizeBilinear = 9,
  kConstantPad = 10,
  kAveragePool = 11,
  kDepthwiseConv2d = 13,
  kMaxPool = 14,
  kReshape = 20,
  kArgMaxPool = 21,
  kPrelu = 31,
  kConcatenate2 = 32,
  kConcatenate4 = 34,
  kSlice = 35,
  kConcatenate5 = 38,
  kConvTranspose2d = 39,
  kNodes = 47
};
enum Quantisation : std::uint8_t { kPerChannel = 1, kPerTensor = 2, kPerToken = 3, kPerGroup = 4 };

struct Value {
  std::vector<std::uint64_t> dimensions;
  std::uint64_t elements = 1;
  bool is_constant = false;
  std::optional<std::size_t> channel_dimension;  ///< Of scales that there is one of for each channel.
};

/// Bits of an element by XNNDatatype; 0 for an unknown one.
std::uint64_t element_bits(std::int16_t type) {
  static constexpr std::array<std::uint64_t, 15> kBits{0, 32, 16, 8, 8, 32, 8, 32, 4, 8, 4, 8, 32, 32, 16};
  return type > 0 && static_cast<std::size_t>(type) < kBits.size() ? kBits[static_cast<std::size_t>(type)] : 0;
}

class Graph {
 public:
  Graph(std::span<const std::byte> graph, const Surroundings& surroundings)
      : root_(Table::root(graph)), surroundings_(surroundings) {}

  void check() {
    if (root_.scalar<std::uint32_t>(graph_field::kExternals) > surroundings_.argument_element_bytes.size()) {
      throw_damaged("XNNPACK's graph has more inputs and outputs than the program gives it");
    }
    const Elements values = root_.tables(graph_field::kValues);
    for (std::size_t i = 0; i < values.count; ++i) read_value(values.table(i));
    const Elements nodes = root_.tables(graph_field::kNodes);
    for (std::size_t i = 0; i < nodes.count; ++i) check_node(nodes.table(i));
  }

 private:
  std::uint64_t constant_bytes(std::uint32_t index) const {
    const Elements held = root_.tables(graph_field::kConstants);
    if (held.count == 0) {
      const Elements buffers = root_.tables(graph_field::kInlineConstants);
      if (index >= buffers.count) throw_damaged("weights are named that are not there");
      return buffers.table(index).scalars<std::uint8_t>(0).count;
    }
    if (index >= held.count) throw_damaged("weights are named that are not there");
    const Table entry = held.table(index);
    if (!entry.has(2)) return entry.scalar<std::uint64_t>(1);  // ExecuTorch compares it with what is there.
    const auto size = surroundings_.named_size_bytes(entry.text(2));
    if (!size) throw_damaged("weights are named that are not there");
    return *size;
  }

  void read_value(const Table& entry) {
    const bool is_quantised = entry.scalar<std::uint8_t>(0) == 2;
    if (entry.scalar<std::uint8_t>(0) == 0) throw_damaged("a tensor has no kind");
    const Table outer = entry.table(1);
    const Table tensor = is_quantised ? outer.table(0) : outer;
    Value value;
    const Elements dimensions = tensor.scalars<std::uint32_t>(tensor_field::kDimensions);
    if (dimensions.count > kMostDimensions) throw_damaged("a tensor has more than 6 dimensions");
    for (std::size_t i = 0; i < dimensions.count; ++i) {
      const std::uint64_t extent = dimensions.scalar<std::uint32_t>(i);
      if (extent != 0 && value.elements > kMostElements / extent) throw_damaged("a tensor has more than 2^32 elements");
      value.elements *= extent;
      value.dimensions.push_back(extent);
    }
    const std::uint64_t bits = element_bits(tensor.scalar<std::int16_t>(tensor_field::kType));
    if (bits == 0) throw_damaged("a tensor has an unknown element type");
    if (const auto index = tensor.scalar<std::uint32_t>(tensor_field::kConstant); index != 0) {
      value.is_constant = true;
      if (constant_bytes(index) < (value.elements * bits + 7) / 8) {
        throw_damaged("weights are shorter than their shape says");
      }
    }
    check_external(tensor, bits);
    if (is_quantised) check_quantisation(outer, value);
    values_[tensor.scalar<std::uint32_t>(tensor_field::kId)] = std::move(value);
  }

  void check_external(const Table& tensor, std::uint64_t bits) const {
    const auto external = tensor.scalar<std::uint32_t>(tensor_field::kExternal);
    if (external == kNone) return;
    const auto& arguments = surroundings_.argument_element_bytes;
    if (external >= arguments.size() || arguments[external] * 8 < bits) {
      throw_damaged("an input or output of XNNPACK's graph is not the program's");
    }
  }

  void check_quantisation(const Table& outer, Value& value) const {
    const auto kind = outer.scalar<std::uint8_t>(1);
    const Table parameters = outer.table(2);
    if (kind == 0 || kind > kPerGroup) throw_damaged("a tensor has no quantisation");
    if (kind == kPerTensor || kind == kPerToken) return;
    const std::uint64_t given = parameters.scalars<float>(0).count;
    const auto dimension = parameters.scalar<std::int32_t>(1);
    const auto buffer = parameters.scalar<std::uint32_t>(kind == kPerChannel ? 2 : 4);
    if (kind == kPerGroup) {
      const auto group = parameters.scalar<std::int32_t>(2);
      const auto scales = parameters.scalar<std::uint32_t>(5);
      const bool held = buffer == 0 || constant_bytes(buffer) >= std::uint64_t{scales} * 2;
      if (value.dimensions.size() < 2 || group <= 0 || !held)
        throw_damaged("quantisation scales do not fit their tensor");
      return;
    }
    if (dimension < 0 || static_cast<std::size_t>(dimension) >= value.dimensions.size()) {
      throw_damaged("quantisation scales do not fit their tensor");
    }
    const std::uint64_t scales = buffer == 0 ? given : constant_bytes(buffer) / sizeof(float);
    if (scales < value.dimensions[static_cast<std::size_t>(dimension)]) {
      throw_damaged("quantisation scales do not fit their tensor");
    }
    value.channel_dimension = static_cast<std::size_t>(dimension);
  }

  const Value& value(std::uint32_t id) const {
    const auto found = values_.find(id);
    if (found == values_.end()) throw_damaged("an operator names a tensor that is not there");
    return found->second;
  }

  static std::uint64_t number(const Table& node, unsigned field) {
    const auto value = node.scalar<std::uint32_t>(field);
    if (value > kMostOfANumber) throw_damaged("a number of an operator is senseless");
    return value;
  }

  void check_node(const Table& entry) const {
    const auto kind = entry.scalar<std::uint8_t>(0);
    if (kind == 0 || kind > kNodes) throw_damaged("an operator has a kind that is not there");
    const Table node = entry.table(1);
    switch (kind) {
      case kConv2d:
      case kDepthwiseConv2d:
      case kConvTranspose2d: return check_convolution(node, kind);
      case kFullyConnected: return check_fully_connected(node);
      case kTranspose:
      case kReshape: return check_list(node, 1, 1);
      case kSlice: return check_list(node, 1, 2);
      case kConstantPad: return check_padding(node);
      case kResizeBilinear: return check_numbers(node, 0, 2);
      case kAveragePool:
      case kMaxPool: return check_numbers(node, 0, 10);
      case kArgMaxPool: return check_numbers(node, 0, 6);
      case kPrelu: return check_prelu(node);
      default: return;  // XNNPACK compares the tensors' shapes itself.
    }
  }

  static void check_numbers(const Table& node, unsigned first, unsigned end) {
    for (unsigned field = first; field < end; ++field) static_cast<void>(number(node, field));
  }

  /// Lists of `num_dims` (field 0) entries each.
  static void check_list(const Table& node, unsigned first, unsigned last) {
    const auto count = node.scalar<std::uint32_t>(0);
    for (unsigned field = first; field <= last; ++field) {
      if (count > kMostDimensions || node.scalars<std::uint32_t>(field).count != count) {
        throw_damaged("a list of an operator is not as long as it says");
      }
    }
  }

  void check_padding(const Table& node) const {
    const std::size_t count = value(node.scalar<std::uint32_t>(3)).dimensions.size();
    for (const unsigned field : {0U, 1U}) {
      const Elements paddings = node.scalars<std::uint32_t>(field);
      if (paddings.count != count) throw_damaged("a padding does not fit its tensor");
      for (std::size_t i = 0; i < count; ++i) {
        if (paddings.scalar<std::uint32_t>(i) > kMostOfANumber) throw_damaged("a number of an operator is senseless");
      }
    }
  }

  void check_prelu(const Table& node) const {
    const Value& input = value(node.scalar<std::uint32_t>(0));
    const Value& slope = value(node.scalar<std::uint32_t>(1));
    if (input.dimensions.empty() || slope.elements != input.dimensions.back()) {
      throw_damaged("an operator's weights do not fit its numbers");
    }
  }

  /// Weights of so many channels: their scales, and the bias.
  void check_channels(const Value& filter, std::uint32_t bias_id, std::uint64_t channels) const {
    const bool scales_fit = !filter.channel_dimension || filter.dimensions[*filter.channel_dimension] == channels;
    const bool bias_fits = bias_id == kNone || value(bias_id).elements == channels;
    if (!scales_fit || !bias_fits) throw_damaged("an operator's weights do not fit its numbers");
  }

  void check_fully_connected(const Table& node) const {
    static_cast<void>(value(node.scalar<std::uint32_t>(0)));
    const Value& filter = value(node.scalar<std::uint32_t>(1));
    if (filter.dimensions.size() != 2) throw_damaged("a matrix has not two dimensions");
    const bool transposed = (node.scalar<std::uint32_t>(4) & kTransposedWeights) != 0;
    check_channels(filter, node.scalar<std::uint32_t>(2), filter.dimensions[transposed ? 1 : 0]);
  }

  void check_convolution(const Table& node, std::uint8_t kind) const {
    check_numbers(node, 0, conv_field::kInput);
    if ((node.scalar<std::uint32_t>(conv_field::kFlags) & ~kSamePadding) != 0) {
      throw_damaged("a convolution has unknown flags");
    }
    static_cast<void>(value(node.scalar<std::uint32_t>(conv_field::kInput)));
    const std::uint64_t kernel = number(node, conv_field::kKernelHeight) * number(node, conv_field::kKernelWidth);
    const std::uint64_t inputs = number(node, conv_field::kGroupInputs);
    const std::uint64_t outputs = number(node, conv_field::kGroupOutputs);
    const std::uint64_t groups = number(node, conv_field::kGroups);
    const bool steps = number(node, conv_field::kSubsampling) > 0 && number(node, conv_field::kSubsampling + 1) > 0;
    const Value& filter = value(node.scalar<std::uint32_t>(conv_field::kFilter));
    const std::uint64_t channels = groups * outputs;
    if (kernel == 0 || inputs == 0 || outputs == 0 || groups == 0 || !steps || channels > kMostElements / kernel) {
      throw_damaged("a convolution has senseless numbers");
    }
    const std::uint64_t one = channels * kernel;  // Weights for one input channel.
    const bool fits = kind == kDepthwiseConv2d
                          ? outputs % inputs == 0 && filter.elements == groups * (outputs / inputs) * kernel
                          : one <= kMostElements / inputs && filter.elements == one * inputs;
    if (!fits) throw_damaged("an operator's weights do not fit its numbers");
    check_channels(filter, node.scalar<std::uint32_t>(conv_field::kBias),
                   kind == kDepthwiseConv2d ? groups * (outputs / inputs) : channels);
  }

  Table root_;
  const Surroundings& surroundings_;
  std::map<std::uint32_t, Value> values_;
};

template <typename T>
T read(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

}  // namespace

void check_xnnpack_graph(std::span<const std::byte> blob, const Surroundings& surroundings) {
  constexpr std::size_t kHeaderBytes = 30;
  if (blob.size() < kHeaderBytes) throw_damaged("XNNPACK's graph is too short");
  std::span<const std::byte> graph = blob;
  if (std::memcmp(blob.data() + 4, "XH00", 4) == 0) {
    const auto offset = read<std::uint32_t>(blob, 10);
    const auto size = read<std::uint32_t>(blob, 14);
    if (offset > blob.size() || size > blob.size() - offset || size < 8) throw_damaged("XNNPACK's graph is too short");
    graph = blob.subspan(offset, size);
  }
  Graph(graph, surroundings).check();
}

}  // namespace verge::engines::executorch_file
