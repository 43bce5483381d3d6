#include "verge/at_rest/tpm_part.hpp"

#include <dlfcn.h>

#include <fmt/format.h>

#include "verge/base/part.hpp"

namespace verge::at_rest {

Result<std::unique_ptr<Tpm>> open_tpm(const std::string& tcti) {
  const auto path = part_path("libverge_part_tpm.so");
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error(ErrorCode::unavailable, "VRG-RST-006",
                 fmt::format("a TPM needs the TPM part, which does not load: {}; install it with libtss2-esys (or, for "
                             "'at_rest', keep the key in a file)",
                             ::dlerror()));
  }
  const auto entry = reinterpret_cast<TpmPartEntry>(::dlsym(library, "verge_tpm_part_entry"));
  if (entry == nullptr || std::string_view(entry()->version) != VERGE_VERSION) {
    return Error(ErrorCode::failed_precondition, "VRG-RST-006",
                 fmt::format("expected the TPM part of version {} at '{}'; install the one of this program",
                             VERGE_VERSION, path.string()));
  }
  return entry()->open(tcti);
}

}  // namespace verge::at_rest
