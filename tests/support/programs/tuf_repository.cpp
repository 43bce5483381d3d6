// test_tuf_repository FOLDER NOW [publish PATH=FILE… | rotate ROLE | renew]: trust::Repository, step by step.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "verge/base/file.hpp"
#include "verge/crypto/sha256.hpp"
#include "verge/trust/repository.hpp"

namespace {

using verge::Result;

Result<void> publish(verge::trust::Repository& repository, const std::vector<std::string>& words, std::int64_t now_s) {
  std::vector<verge::trust::Target> targets;
  for (const auto& word : words) {
    const auto equals = word.find('=');
    VERGE_ASSIGN(const std::string content, verge::read_text(word.substr(equals + 1), 1U << 20U));
    auto custom = verge::wire::Node::map();
    custom.add("from", verge::wire::Node::string("a \"test\" with ü and \\"));
    custom.add("count", verge::wire::Node::integer(-3));
    targets.push_back({word.substr(0, equals), content.size(), verge::crypto::sha256(content), std::move(custom)});
  }
  return repository.publish(std::move(targets), now_s);
}

Result<void> run(const std::vector<std::string>& words) {
  const std::int64_t now_s = std::strtoll(words[1].c_str(), nullptr, 10);
  VERGE_ASSIGN(auto repository, verge::trust::Repository::open(words[0], {}, now_s));
  const std::string verb = words.size() > 2 ? words[2] : "";
  if (verb == "publish") return publish(repository, {words.begin() + 3, words.end()}, now_s);
  if (verb == "rotate") return repository.rotate(words.at(3), now_s);
  if (verb == "renew") {
    VERGE_ASSIGN(const bool renewed, repository.renew(now_s));
    std::puts(renewed ? "renewed" : "nothing to do");
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) return 2;
  const auto done = run(words);
  if (!done) std::fprintf(stderr, "%s\n", done.error().text().c_str());
  return done ? 0 : 1;
}
