#include "verge/base/descriptor.hpp"

#include <unistd.h>

namespace verge {

void Descriptor::reset() noexcept {
  if (const int number = release(); number >= 0) ::close(number);
}

}  // namespace verge
