#include "verge/base/file.hpp"
#include "verge/delta/delta.hpp"

namespace verge::delta {
namespace {

constexpr std::uint64_t kMaxDescription_bytes = std::uint64_t{256} << 20U;

struct Loaded {
  std::vector<std::byte> bytes;
  std::vector<model_file::FileTensor> tensors;
  [[nodiscard]] Content content() const { return {bytes, tensors}; }
};

Result<Loaded> load(const DescribedFile& file) {
  Loaded loaded;
  VERGE_ASSIGN(loaded.bytes, read_file(file.file, kMaxFile_bytes));
  if (file.description.empty()) {
    loaded.tensors = model_file::find_tensors(loaded.bytes);
    return loaded;
  }
  VERGE_ASSIGN(const auto description, read_text(file.description, kMaxDescription_bytes));
  loaded.tensors = model_file::find_ir_tensors(description, loaded.bytes.size());
  return loaded;
}

}  // namespace

Result<void> make_file(const DescribedFile& old, const DescribedFile& fresh, const std::filesystem::path& delta) {
  VERGE_ASSIGN(const auto before, load(old));
  VERGE_ASSIGN(const auto after, load(fresh));
  VERGE_ASSIGN(const auto made, make(before.content(), after.content()));
  return write_file(delta, made);
}

}  // namespace verge::delta
