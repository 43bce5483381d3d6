#include "verge/at_rest/data_keys.hpp"

namespace verge::at_rest {

void DataKeys::add(const KeyId& id, Key key) {
  const std::lock_guard lock(mutex_);
  keys_[id] = std::move(key);
  current_ = id;
}

void DataKeys::keep_only(const KeyId& id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(keys_, [&](const auto& key) { return key.first != id; });
}

std::pair<KeyId, DataKeys::Key> DataKeys::current() const {
  const std::lock_guard lock(mutex_);
  return {current_, keys_.at(current_)};
}

DataKeys::Key DataKeys::find(const KeyId& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : found->second;
}

std::size_t DataKeys::count() const {
  const std::lock_guard lock(mutex_);
  return keys_.size();
}

}  // namespace verge::at_rest
