// The database behind a transaction.
#pragma once

#include <mutex>

#include <soci/soci.h>

#include "verge/hub/store.hpp"

namespace verge::hub {

struct Transaction::State {
  std::mutex mutex;
  soci::session sql;
};

}  // namespace verge::hub
