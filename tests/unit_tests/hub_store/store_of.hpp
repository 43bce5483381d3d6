// A store in a temporary folder.
#pragma once

#include <functional>
#include <memory>

#include <gmock/gmock.h>

#include "verge/base/file.hpp"
#include "verge/hub/store.hpp"

namespace verge::hub {

class HubStore : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    store_.reset();
    auto opened = Store::open(folder_.path() / "hub.db");
    ASSERT_TRUE(opened) << opened.error().text();
    store_ = std::move(*opened);
  }
  void in(const std::function<void(Transaction&)>& work) {
    const auto done = store_->transaction([&](Transaction& transaction) -> Result<void> {
      work(transaction);
      return {};
    });
    ASSERT_TRUE(done) << done.error().text();
  }
  TemporaryFolder folder_ = std::move(*TemporaryFolder::create("store"));
  std::unique_ptr<Store> store_;
};

}  // namespace verge::hub
