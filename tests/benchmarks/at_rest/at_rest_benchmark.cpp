// What encryption at rest costs: MB/s of the format, and the time to load a package from an encrypted store, decrypting
// it into locked memory, against a plain one, in turns, in one run.
//
//   bench_at_rest PACKAGE [ENGINE] [RUNS]
//
// Prints one JSON object: medians in milliseconds, the ratio, MB/s (10^6 bytes).
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "verge/at_rest/memory_folder.hpp"
#include "verge/base/file.hpp"
#include "verge/package/model_package.hpp"
#include "verge/processing/loaded_model.hpp"
#include "verge/update/disk_files.hpp"
#include "verge/update/encrypted_files.hpp"

namespace {

using namespace verge;
using Clock = std::chrono::steady_clock;

constexpr const char* kFolder = "store/packages/p";

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "bench_at_rest: %s\n", result.error().text().c_str());
  std::exit(1);
}
void must(const Result<void>& done) {
  if (done) return;
  std::fprintf(stderr, "bench_at_rest: %s\n", done.error().text().c_str());
  std::exit(1);
}

double since_ms(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}
double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Speed {
  double encrypt_mb_s = 0;
  double decrypt_mb_s = 0;
};

Speed speed(const at_rest::DataKeys& keys) {
  constexpr std::size_t kBytes = std::size_t{64} << 20U;
  const std::vector<std::byte> plain(kBytes, std::byte{7});
  std::vector<double> encrypt_ms;
  std::vector<double> decrypt_ms;
  for (int i = 0; i < 5; ++i) {
    auto start = Clock::now();
    const auto file = at_rest::encrypt(plain, keys);
    encrypt_ms.push_back(since_ms(start));
    start = Clock::now();
    auto reader = must(at_rest::Reader::open({file.size(),
                                              [&](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
                                                std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset),
                                                            into.size(), into.begin());
                                                return {};
                                              }},
                                             keys));
    must(reader.read_all([](std::span<const std::byte>) { return Result<void>(); }));
    decrypt_ms.push_back(since_ms(start));
  }
  const double megabytes = static_cast<double>(kBytes) / 1e6;
  return {megabytes / median(encrypt_ms) * 1e3, megabytes / median(decrypt_ms) * 1e3};
}

at_rest::MemoryFolder decrypted(update::Files& files) {
  auto folder = must(at_rest::MemoryFolder::create(
      at_rest::default_memory_parent() / fmt::format("verge-bench-{}", ::getpid()), at_rest::Locking::best_effort));
  for (const auto& name : must(update::files_below(files, kFolder))) {
    const auto file = must(files.open(name));
    must(folder.add(name.substr(std::string_view(kFolder).size() + 1), file->size_bytes(),
                    [&](std::span<std::byte> memory) { return file->read(0, memory); }));
  }
  return folder;
}

void load(const std::filesystem::path& folder, processing::EngineCatalogue& engines, const std::string& engine) {
  processing::LoadOptions options;
  options.engine = engine;
  options.threads = 1;
  (void)must(processing::LoadedModel::load(must(package::open_folder(folder)), engines, options));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_at_rest PACKAGE [ENGINE] [RUNS]\n", stderr);
    return 2;
  }
  const std::filesystem::path package = argv[1];
  const std::string engine = argc > 2 ? argv[2] : "openvino";
  const int runs = argc > 3 ? std::atoi(argv[3]) : 15;
  at_rest::DataKeys keys;
  keys.add({}, std::make_shared<const at_rest::Secret>(at_rest::Secret::random()));
  const auto scratch = must(TemporaryFolder::create("verge-bench-"));
  update::DiskFiles disk(scratch.path());
  update::EncryptedFiles files(disk, keys);
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(package)) {
    if (!entry.is_regular_file()) continue;
    const auto text = must(read_text(entry.path(), package::kFileLimitBytes));
    bytes += text.size();
    must(files.write(fmt::format("{}/{}", kFolder, entry.path().lexically_relative(package).generic_string()), text));
  }
  processing::EngineCatalogue engines(processing::default_engine_folder());
  load(package, engines, engine);  // The engine itself is loaded once.
  std::vector<double> plain_ms;
  std::vector<double> encrypted_ms;
  std::vector<double> decrypt_ms;
  for (int i = 0; i < runs; ++i) {
    auto start = Clock::now();
    load(package, engines, engine);
    plain_ms.push_back(since_ms(start));
    start = Clock::now();
    const auto folder = decrypted(files);
    decrypt_ms.push_back(since_ms(start));
    load(folder.path(), engines, engine);
    encrypted_ms.push_back(since_ms(start));
  }
  const auto found = speed(keys);
  std::printf(
      "{\"package_bytes\": %llu, \"runs\": %d, \"plain_ms\": %.1f, \"encrypted_ms\": %.1f, \"ratio\": %.3f, "
      "\"decrypt_ms\": %.1f, \"encrypt_mb_s\": %.0f, \"decrypt_mb_s\": %.0f}\n",
      static_cast<unsigned long long>(bytes), runs, median(plain_ms), median(encrypted_ms),
      median(encrypted_ms) / median(plain_ms), median(decrypt_ms), found.encrypt_mb_s, found.decrypt_mb_s);
  return 0;
}
