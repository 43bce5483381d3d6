// Field numbers and enumerations: tensorflow/lite/schema/schema.fbs, version 3 (Apache-2.0).
#include "verge/engines/tflite_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "verge/engines/flatbuffer.hpp"

namespace verge::engines {
namespace {

using flatbuffer::Elements;
using flatbuffer::Table;
using flatbuffer::throw_damaged;

// Fields of the schema's tables, in their order there.
namespace model_field {
constexpr unsigned kVersion = 0, kOperatorCodes = 1, kSubgraphs = 2, kBuffers = 4, kSignatures = 7;
}
namespace subgraph_field {
constexpr unsigned kTensors = 0, kInputs = 1, kOutputs = 2, kOperators = 3, kName = 4;
}
namespace tensor_field {
constexpr unsigned kShape = 0, kType = 1, kBuffer = 2, kName = 3, kQuantisation = 4, kSparsity = 6, kShapeSignature = 7;
}
namespace quantisation_field {
constexpr unsigned kMin = 0, kMax = 1, kScale = 2, kZeroPoint = 3, kDimension = 6;
}
namespace operator_field {
constexpr unsigned kCode = 0, kInputs = 1, kOutputs = 2, kOptionsType = 3, kOptions = 4, kCustomOptions = 5,
                   kMutating = 7, kIntermediates = 8, kOptions2 = 12;
}
namespace code_field {
constexpr unsigned kDeprecatedCode = 0, kCustomCode = 1, kBuiltinCode = 3;
}
namespace buffer_field {
constexpr unsigned kData = 0, kOffset = 1, kSize = 2;
}

constexpr std::int32_t kConv2d = 3;
constexpr std::int32_t kDepthwiseConv2d = 4;
constexpr std::int32_t kFullyConnected = 9;
constexpr std::int32_t kCustom = 32;

enum TensorType : std::uint8_t { kFloat32 = 0, kUint8 = 3, kInt64 = 4, kInt8 = 9, kTensorTypes = 19 };

/// The ABI's type of a schema's TensorType; nothing for strings, complex numbers, resources, variants and 4 bits.
std::optional<verge_engine_datatype> datatype(std::uint8_t type) {
  using Type = std::optional<verge_engine_datatype>;
  static constexpr std::array<Type, kTensorTypes> kTypes{
      VERGE_ENGINE_FP32,   VERGE_ENGINE_FP16,   VERGE_ENGINE_INT32,  VERGE_ENGINE_UINT8, VERGE_ENGINE_INT64,
      std::nullopt,        VERGE_ENGINE_BOOL,   VERGE_ENGINE_INT16,  std::nullopt,       VERGE_ENGINE_INT8,
      VERGE_ENGINE_FP64,   std::nullopt,        VERGE_ENGINE_UINT64, std::nullopt,       std::nullopt,
      VERGE_ENGINE_UINT32, VERGE_ENGINE_UINT16, std::nullopt,        VERGE_ENGINE_BF16};
  return type < kTypes.size() ? kTypes[type] : std::nullopt;
}

std::vector<std::int64_t> dimensions(const Elements& elements) {
  std::vector<std::int64_t> shape;
  for (std::size_t i = 0; i < elements.count; ++i) shape.push_back(elements.scalar<std::int32_t>(i));
  return shape;
}

void check_indices(const Elements& indices, std::size_t count, bool optional) {
  for (std::size_t i = 0; i < indices.count; ++i) {
    const auto index = indices.scalar<std::int32_t>(i);
    if (index == -1 && optional) continue;
    if (index < 0 || static_cast<std::size_t>(index) >= count) {
      throw_damaged("an operator names a tensor that is not there");
    }
  }
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> file)
      : file_(file),
        model_(Table::root(file)),
        buffers_(model_.tables(model_field::kBuffers)),
        codes_(model_.tables(model_field::kOperatorCodes)),
        subgraphs_(model_.tables(model_field::kSubgraphs)) {}

  TfliteModel read() {
    if (model_.scalar<std::uint32_t>(model_field::kVersion) != 3) throw_damaged("it is no version 3 model");
    if (subgraphs_.count == 0 || buffers_.count == 0) throw_damaged("the model is empty");
    for (std::size_t i = 0; i < codes_.count; ++i) read_code(codes_.table(i));
    for (std::size_t i = 0; i < buffers_.count; ++i) {
      static_cast<void>(buffer_size(buffers_.table(i)));
    }
    for (std::size_t i = 0; i < subgraphs_.count; ++i) check_subgraph(subgraphs_.table(i));
    read_signatures();
    const Table main = subgraphs_.table(0);
    read_tensors(main, subgraph_field::kInputs, "input", result_.inputs);
    read_tensors(main, subgraph_field::kOutputs, "output", result_.outputs);
    if (result_.outputs.empty()) throw_damaged("the model has no output");
    return std::move(result_);
  }

 private:
  void read_code(const Table& code) {
    const std::string_view name = code.text(code_field::kCustomCode);
    if (builtin_code(code) != kCustom) return;
    if (name.empty()) throw_damaged("a custom operator has no name");
    auto& names = result_.custom_operators;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }

  static std::int32_t builtin_code(const Table& code) {
    return std::max<std::int32_t>(code.scalar<std::int8_t>(code_field::kDeprecatedCode),
                                  code.scalar<std::int32_t>(code_field::kBuiltinCode));
  }

  /// Bytes of a buffer's content, which lies inside the table's vector or, in files past 2 GiB, behind the model.
  std::uint64_t buffer_size(const Table& buffer) const {
    const Elements data = buffer.scalars<std::uint8_t>(buffer_field::kData);
    const auto offset = buffer.scalar<std::uint64_t>(buffer_field::kOffset);
    const auto size = buffer.scalar<std::uint64_t>(buffer_field::kSize);
    if (offset > 1) {
      if (offset > file_.size() || size > file_.size() - offset) throw_damaged("weights lie outside the file");
      return size;
    }
    return data.count;
  }

  void check_subgraph(const Table& subgraph) {
    const Elements tensors = subgraph.tables(subgraph_field::kTensors);
    const Elements operators = subgraph.tables(subgraph_field::kOperators);
    check_indices(subgraph.scalars<std::int32_t>(subgraph_field::kInputs), tensors.count, false);
    check_indices(subgraph.scalars<std::int32_t>(subgraph_field::kOutputs), tensors.count, false);
    static_cast<void>(subgraph.text(subgraph_field::kName));
    for (std::size_t i = 0; i < tensors.count; ++i) check_tensor(tensors.table(i));
    for (std::size_t i = 0; i < operators.count; ++i) check_operator(operators.table(i), tensors);
  }

  void check_tensor(const Table& tensor) const {
    static_cast<void>(tensor.text(tensor_field::kName));
    const Elements shape = tensor.scalars<std::int32_t>(tensor_field::kShape);
    static_cast<void>(tensor.scalars<std::int32_t>(tensor_field::kShapeSignature));
    const auto index = tensor.scalar<std::uint32_t>(tensor_field::kBuffer);
    if (index >= buffers_.count) throw_damaged("a tensor names a buffer that is not there");
    const auto type = datatype(tensor.scalar<std::uint8_t>(tensor_field::kType));
    std::uint64_t size = type ? element_size_bytes(*type) : 0;
    for (std::size_t i = 0; i < shape.count; ++i) {
      const auto extent = shape.scalar<std::int32_t>(i);
      if (extent < -1) throw_damaged("a tensor has a negative size");
      if (extent > 0 && size > (std::uint64_t{1} << 40U) / static_cast<std::uint64_t>(extent)) {
        throw_damaged("a tensor is larger than 2^40 bytes");
      }
      size *= extent < 0 ? 0U : static_cast<std::uint64_t>(extent);
    }
    const std::uint64_t held = buffer_size(buffers_.table(index));
    if (held != 0 && held < size && !tensor.has(tensor_field::kSparsity)) {
      throw_damaged("weights are shorter than their shape says");
    }
    check_quantisation(tensor, shape);
  }

  static void check_quantisation(const Table& tensor, const Elements& shape) {
    if (!tensor.has(tensor_field::kQuantisation)) return;
    const Table quantisation = tensor.table(tensor_field::kQuantisation);
    static_cast<void>(quantisation.scalars<float>(quantisation_field::kMin));
    static_cast<void>(quantisation.scalars<float>(quantisation_field::kMax));
    const Elements scales = quantisation.scalars<float>(quantisation_field::kScale);
    const Elements zero_points = quantisation.scalars<std::int64_t>(quantisation_field::kZeroPoint);
    for (std::size_t i = 0; i < scales.count; ++i) {
      const float scale = scales.scalar<float>(i);
      if (!std::isfinite(scale) || scale < 0.0F) throw_damaged("a quantisation scale is no positive number");
    }
    if (scales.count <= 1) return;
    const auto dimension = quantisation.scalar<std::int32_t>(quantisation_field::kDimension);
    const bool there = dimension >= 0 && static_cast<std::size_t>(dimension) < shape.count;
    const bool agrees = there && static_cast<std::int64_t>(scales.count) ==
                                     shape.scalar<std::int32_t>(static_cast<std::size_t>(dimension));
    if (!agrees || (zero_points.count > 1 && zero_points.count != scales.count)) {
      throw_damaged("quantisation scales do not fit their tensor");
    }
  }

  void check_operator(const Table& node, const Elements& tensors) {
    const auto code_index = node.scalar<std::uint32_t>(operator_field::kCode);
    if (code_index >= codes_.count) throw_damaged("an operator has a kind that is not there");
    const Elements inputs = node.scalars<std::int32_t>(operator_field::kInputs);
    check_indices(inputs, tensors.count, true);
    check_indices(node.scalars<std::int32_t>(operator_field::kOutputs), tensors.count, false);
    check_indices(node.scalars<std::int32_t>(operator_field::kIntermediates), tensors.count, true);
    static_cast<void>(node.scalars<std::uint8_t>(operator_field::kCustomOptions));
    static_cast<void>(node.scalars<std::uint8_t>(operator_field::kMutating));
    if (node.has(operator_field::kOptions)) static_cast<void>(node.table(operator_field::kOptions));
    if (node.has(operator_field::kOptions2)) static_cast<void>(node.table(operator_field::kOptions2));
    const std::int32_t code = builtin_code(codes_.table(code_index));
    if (code == kCustom) check_custom_operator(node, codes_.table(code_index).text(code_field::kCustomCode));
    if ((code == kConv2d || code == kDepthwiseConv2d || code == kFullyConnected) && inputs.count >= 2) {
      note_hybrid_weights(inputs.scalar<std::int32_t>(0), inputs.scalar<std::int32_t>(1), tensors);
    }
  }

  /// A custom operator's kernel reads its options, and the detections' without looking whether there are any.
  static void check_custom_operator(const Table& node, std::string_view name) {
    const bool has_options = node.scalars<std::uint8_t>(operator_field::kCustomOptions).count > 0;
    const bool needs_options = name == "TFLite_Detection_PostProcess";
    if (node.scalar<std::uint8_t>(operator_field::kOptionsType) != 0 || (needs_options && !has_options)) {
      throw_damaged("custom operator '" + std::string(name) + "' has the options of another operator");
    }
  }

  void note_hybrid_weights(std::int32_t input, std::int32_t weights, const Elements& tensors) {
    if (input < 0 || weights < 0) return;
    const auto type = [&](std::int32_t index) {
      return tensors.table(static_cast<std::size_t>(index)).scalar<std::uint8_t>(tensor_field::kType);
    };
    if (type(input) == kFloat32 && type(weights) == kUint8) result_.has_legacy_hybrid_weights = true;
  }

  void read_signatures() const {
    const Elements signatures = model_.tables(model_field::kSignatures);
    for (std::size_t i = 0; i < signatures.count; ++i) {
      const Table signature = signatures.table(i);
      const auto subgraph = signature.scalar<std::uint32_t>(4);
      if (subgraph >= subgraphs_.count) throw_damaged("a signature names a subgraph that is not there");
      const std::size_t tensors = subgraphs_.table(subgraph).tables(subgraph_field::kTensors).count;
      static_cast<void>(signature.text(2));
      for (const unsigned side : {0U, 1U}) {
        const Elements maps = signature.tables(side);
        for (std::size_t j = 0; j < maps.count; ++j) {
          static_cast<void>(maps.table(j).text(0));
          if (maps.table(j).scalar<std::uint32_t>(1) >= tensors) throw_damaged("a signature names a missing tensor");
        }
      }
    }
  }

  static void read_tensors(const Table& subgraph, unsigned field, const std::string& side,
                           std::vector<TfliteTensor>& out) {
    const Elements indices = subgraph.scalars<std::int32_t>(field);
    const Elements tensors = subgraph.tables(subgraph_field::kTensors);
    for (std::size_t i = 0; i < indices.count; ++i) {
      const Table tensor = tensors.table(static_cast<std::size_t>(indices.scalar<std::int32_t>(i)));
      TfliteTensor read;
      read.description.name = tensor.text(tensor_field::kName);
      if (read.description.name.empty()) read.description.name = side + std::to_string(i);
      const auto type = datatype(tensor.scalar<std::uint8_t>(tensor_field::kType));
      if (!type) {
        throw Failure(VERGE_ENGINE_UNSUPPORTED, side + " '" + read.description.name +
                                                    "' has an element type (text, complex, resource or 4 bits) that "
                                                    "Verge does not handle");
      }
      read.description.datatype = *type;
      read.initial_shape = dimensions(tensor.scalars<std::int32_t>(tensor_field::kShape));
      read.description.shape = dimensions(tensor.scalars<std::int32_t>(tensor_field::kShapeSignature));
      // An older file has no signature, and some converters write one of another rank.
      if (read.description.shape.size() != read.initial_shape.size()) read.description.shape = read.initial_shape;
      read_quantisation(tensor, read.description);
      out.push_back(std::move(read));
    }
  }

  static void read_quantisation(const Table& tensor, TensorDescription& out) {
    const bool is_integer = out.datatype == VERGE_ENGINE_UINT8 || out.datatype == VERGE_ENGINE_INT8 ||
                            out.datatype == VERGE_ENGINE_INT16 || out.datatype == VERGE_ENGINE_UINT16;
    if (!is_integer || !tensor.has(tensor_field::kQuantisation)) return;
    const Table quantisation = tensor.table(tensor_field::kQuantisation);
    const Elements scales = quantisation.scalars<float>(quantisation_field::kScale);
    if (scales.count != 1 || scales.scalar<float>(0) <= 0.0F) return;
    const Elements zero_points = quantisation.scalars<std::int64_t>(quantisation_field::kZeroPoint);
    out.is_quantised = true;
    out.scale = scales.scalar<float>(0);
    out.zero_point = zero_points.count == 0 ? 0 : static_cast<std::int32_t>(zero_points.scalar<std::int64_t>(0));
  }

  std::span<const std::byte> file_;
  Table model_;
  Elements buffers_;
  Elements codes_;
  Elements subgraphs_;
  TfliteModel result_;
};

}  // namespace

TfliteModel read_tflite(std::span<const std::byte> file) {
  if (file.size() < 8) throw_damaged("it is too short for a model");
  if (std::memcmp(file.data() + 4, "TFL3", 4) != 0) {
    throw Failure(VERGE_ENGINE_CORRUPT, "the file is no TensorFlow Lite model (it lacks the mark 'TFL3')");
  }
  return Reader(file).read();
}

}  // namespace verge::engines
