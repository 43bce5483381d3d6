#include "verge/data_processing/prediction_reader.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "verge/wire/json_reader.hpp"

namespace verge::data_processing {
namespace {

using processing::Prediction;
using processing::PredictionKind;
using wire::JsonReader;

constexpr std::size_t kItemLimit = 100'000;
constexpr int kSideLimit = 65536;
constexpr std::size_t kShownBytes = 120;

Error unexpected(std::string_view expected, std::string_view got) {
  return Error(ErrorCode::internal, "VRG-STP-006",
               fmt::format("the custom postprocessing step: expected {}, got {}; correct the function", expected, got));
}

std::string shown(std::string_view text) {
  std::string out;
  processing::append_json_string(text.substr(0, kShownBytes), out);
  return text.size() > kShownBytes ? out + "…" : out;
}

std::optional<PredictionKind> kind_called(std::string_view name) {
  for (const auto kind : {PredictionKind::classes, PredictionKind::boxes, PredictionKind::mask, PredictionKind::anomaly,
                          PredictionKind::values}) {
    if (processing::name(kind) == name) return kind;
  }
  return std::nullopt;
}

}  // namespace

/// Reads the member of one kind; false, with what was expected, when it is not as it should be.
class KindReader {
 public:
  KindReader(PredictionReader& reader, JsonReader& json, std::span<const std::byte> content, Prediction& prediction)
      : reader_(reader), json_(json), content_(content), prediction_(prediction) {}

  bool read(PredictionKind kind) {
    switch (kind) {
      case PredictionKind::classes: return classes();
      case PredictionKind::boxes: return boxes();
      case PredictionKind::mask: return mask();
      case PredictionKind::anomaly: return anomaly();
      case PredictionKind::values: return values();
      case PredictionKind::tensors:
      case PredictionKind::custom: break;
    }
    return false;
  }
  [[nodiscard]] std::string_view expected() const noexcept { return expected_; }

 private:
  /// A text that stays where it is until the next prediction.
  std::string& place() {
    if (reader_.labels_used_ == reader_.labels_.size()) reader_.labels_.emplace_back();
    return reader_.labels_[reader_.labels_used_++];
  }
  bool label(std::string_view& out) {
    std::string& text = place();
    const bool read = json_.string(text);
    out = text;
    return read;
  }
  bool number(float& out) {
    double value = 0;
    const bool read = json_.number(value);
    out = static_cast<float>(value);
    return read;
  }
  bool whole(int& out, int limit) {
    double value = 0;
    if (!json_.number(value) || value != std::floor(value) || std::abs(value) > limit) return json_.fail();
    out = static_cast<int>(value);
    return true;
  }
  bool class_index(int& out) { return whole(out, 1'000'000'000); }

  bool classes() {
    expected_ = R"('classes' as a list of {"label": text, "score": number}, with "class": whole number if you like)";
    return json_.array([&] {
      processing::ClassScore entry;
      bool scored = false;
      json_.object(reader_.key_, [&](const std::string& key) {
        if (key == "class") return class_index(entry.class_index);
        if (key == "label") return label(entry.label);
        if (key == "score") return scored = number(entry.score);
        return json_.check();
      });
      if (!scored || prediction_.classes.size() == kItemLimit) json_.fail();
      prediction_.classes.push_back(entry);
    });
  }

  bool boxes() {
    expected_ =
        R"('boxes' as a list of {"label": text, "score": number, "box": [x0, y0, x1, y1]}, with "class": whole number )"
        "if you like";
    return json_.array([&] {
      processing::Box entry;
      bool scored = false;
      std::size_t corners = 0;
      json_.object(reader_.key_, [&](const std::string& key) {
        if (key == "class") return class_index(entry.class_index);
        if (key == "label") return label(entry.label);
        if (key == "score") return scored = number(entry.score);
        if (key != "box") return json_.check();
        const std::array<float*, 4> places{&entry.x0, &entry.y0, &entry.x1, &entry.y1};
        return json_.array([&] { corners < 4 ? number(*places.at(corners++)) : json_.fail(); });
      });
      if (!scored || corners != 4 || prediction_.boxes.size() == kItemLimit) json_.fail();
      prediction_.boxes.push_back(entry);
    });
  }

  bool values() {
    expected_ = R"('values' as {"name": number, …})";
    // Keys are kept as labels: the reader's own key is for those of the whole.
    return json_.object(reader_.key_, [&](const std::string& key) {
      std::string& name = place();
      name = key;
      float value = 0;
      if (!number(value) || prediction_.values.size() == kItemLimit) json_.fail();
      prediction_.values.push_back({name, value});
    });
  }

  bool anomaly() {
    expected_ = R"('anomaly' as {"error": number, "threshold": number, "found": true or false})";
    int windows = 1;
    bool has_error = false;
    bool has_found = false;
    auto& anomaly = prediction_.anomaly;
    anomaly = {};
    json_.object(reader_.key_, [&](const std::string& key) {
      if (key == "error") return has_error = number(anomaly.error);
      if (key == "threshold") return number(anomaly.threshold);
      if (key == "found") {
        const auto found = json_.boolean();
        anomaly.found = found.value_or(false);
        return has_found = found.has_value();
      }
      if (key == "windows") return whole(windows, 1'000'000'000);
      return json_.check();
    });
    anomaly.windows = static_cast<std::size_t>(std::max(windows, 0));
    return (has_error && has_found) || json_.fail();
  }

  bool mask() {
    expected_ = "'mask' as a two-dimensional array of class numbers (uint8), height × width";
    int width = 0;
    int height = 0;
    double offset = -1;
    json_.object(reader_.key_, [&](const std::string& key) {
      if (key == "width") return whole(width, kSideLimit);
      if (key == "height") return whole(height, kSideLimit);
      if (key == "offset") return json_.number(offset);
      return json_.check();
    });
    const auto size = static_cast<std::size_t>(std::max(width, 0)) * static_cast<std::size_t>(std::max(height, 0));
    const auto end = static_cast<double>(content_.size());
    if (json_.failed() || width < 1 || height < 1 || !(offset >= 0 && offset <= end) ||
        size > content_.size() - static_cast<std::size_t>(offset)) {
      return json_.fail();
    }
    prediction_.mask.width = width;
    prediction_.mask.height = height;
    prediction_.mask.classes.resize(std::max(prediction_.mask.classes.size(), size));
    std::memcpy(prediction_.mask.classes.data(), content_.data() + static_cast<std::size_t>(offset), size);
    measure(size);
    return true;
  }
  /// The classes that occur, the largest first.
  void measure(std::size_t size) {
    std::array<std::size_t, 256> counts{};
    for (std::size_t i = 0; i < size; ++i) ++counts.at(prediction_.mask.classes[i]);
    for (std::size_t c = 0; c < counts.size(); ++c) {
      if (counts.at(c) == 0) continue;
      prediction_.areas.push_back(
          {static_cast<int>(c), static_cast<float>(counts.at(c)) / static_cast<float>(size), {}});
    }
    std::ranges::sort(prediction_.areas, [](const auto& a, const auto& b) {
      return a.fraction != b.fraction ? a.fraction > b.fraction : a.class_index < b.class_index;
    });
  }

  PredictionReader& reader_;
  JsonReader& json_;
  std::span<const std::byte> content_;
  Prediction& prediction_;
  std::string_view expected_;
};

Result<void> PredictionReader::read(std::string_view json, std::span<const std::byte> content, Prediction& prediction) {
  prediction.begin(PredictionKind::custom);
  labels_used_ = 0;
  if (json.size() > kPredictionLimitBytes) {
    return unexpected(fmt::format("at most {} bytes of JSON", kPredictionLimitBytes),
                      fmt::format("{}; give less, or a mask as an array", json.size()));
  }
  text_ = json;
  JsonReader whole(text_);
  std::optional<PredictionKind> kind;
  std::string& kind_text = labels_.empty() ? labels_.emplace_back() : labels_.front();
  const bool is_object = whole.peek() == '{';
  whole.object(key_, [&](const std::string& key) {
    if (key != "kind" || whole.peek() != '"') return whole.check();
    const bool read = whole.string(kind_text);
    kind = kind_called(kind_text);
    return read;
  });
  if (!whole.at_end()) {
    return unexpected("a JSON object", is_object
                                           ? fmt::format("a mistake at byte {} of {}", whole.position(), shown(text_))
                                           : shown(text_));
  }
  if (!kind) {
    prediction.custom = text_;
    return {};
  }
  JsonReader again(text_);
  KindReader reader(*this, again, content, prediction);
  bool found = false;
  again.object(key_, [&](const std::string& key) {
    if (found || key != processing::name(*kind)) return again.check();
    found = true;
    return reader.read(*kind) || again.fail();
  });
  if (!found)
    return unexpected(fmt::format("the member '{}' beside this 'kind'", processing::name(*kind)), shown(text_));
  if (again.failed()) return unexpected(reader.expected(), shown(text_));
  prediction.kind = *kind;
  return {};
}

}  // namespace verge::data_processing
