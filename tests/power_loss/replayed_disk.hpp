// Replayed disk: what was recorded, done to a modelled disk; its states as folders of the real one, and back.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "modelled_disk.hpp"
#include "recorded_calls.hpp"

namespace verge::power_loss {

using simulator::Chance;
using simulator::DiskImage;
using simulator::Loss;
using simulator::ModelledDisk;

/// In memory: syncs cost nothing there.
const std::filesystem::path& work_folder();
/// Makes the folder what the image is.
void put(const DiskImage& image, const std::filesystem::path& folder);
DiskImage take(const std::filesystem::path& folder);

/// Does to the modelled disk what was done to the real one.
class Replay {
 public:
  explicit Replay(ModelledDisk& disk) : disk_(disk) {}
  void apply(const RecordedCall& call);

 private:
  template <typename Work>
  void with_file(const std::string& path, const Work& work);

  ModelledDisk& disk_;
};

/// What may be lost before operation `at`, with so many seeded mixtures (VERGE_POWER_LOSS_SEED).
std::vector<Loss> losses_at(std::size_t at, std::uint64_t mixes);
/// The call, for people.
std::string told(const RecordedCall& call);

}  // namespace verge::power_loss
