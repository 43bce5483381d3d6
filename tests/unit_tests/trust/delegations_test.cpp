#include "delegations.hpp"

#include <gmock/gmock.h>

namespace verge::trust {
namespace {

using testing::ElementsAre;

struct Case {
  const char* path;
  const char* pattern;
  bool matches;
};

TEST(PathPattern, IsThatOfAShellWithinOneFolder) {
  // The verdicts are those of python-tuf's DelegatedRole.
  for (const auto& [path, pattern, matches] : std::initializer_list<Case>{
           {"a", "a", true},
           {"a", "b", false},
           {"", "", true},
           {"", "*", true},
           {"a/b", "a/b", true},
           {"a/b", "*", false},
           {"a/b", "*/*", true},
           {"a/b/c", "a/*", false},
           {"a/", "a/*", true},
           {"/a", "/*", true},
           {"/a", "*", false},
           {"abc", "a*c", true},
           {"ac", "a*c", true},
           {"abcd", "a*c", false},
           {"aXbXc", "a*b*c", true},
           {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "*a*a*a*a*a*a*a*a*a*a*a*a*b", false},
           {"abc", "a?c", true},
           {"ac", "a?c", false},
           {"a/c", "a?c", false},
           {"a\xC3\xBC"
            "c",
            "a?c", true},
           {".hidden", "*", true},
           {"b", "[abc]", true},
           {"d", "[abc]", false},
           {"d", "[!abc]", true},
           {"b", "[!abc]", false},
           {"m", "[a-z]", true},
           {"M", "[a-z]", false},
           {"]", "[]]", true},
           {"a", "[!]]", true},
           {"-", "[a-]", true},
           {"^", "[^a]", true},
           {"b", "[^a]", false},
           {"[a", "[a", true},
           {"[", "[", true},
           {"a\\", "a\\", true},
           {"a*", "a\\*", false},
       }) {
    EXPECT_EQ(path_matches(path, pattern), matches) << path << " against " << pattern;
  }
}

std::vector<std::string> names(const Delegations& delegations, std::string_view path) {
  std::vector<std::string> found;
  for (const auto& delegate : delegates_for(delegations, path)) found.push_back(delegate.name);
  return found;
}

TEST(Delegates, ComeInTheOrderOfTheFile) {
  Delegations delegations;
  delegations.roles.push_back({"z", {}, false, {{"a/*", "b/*"}}, {}});
  delegations.roles.push_back({"a", {}, true, {{"*/*"}}, {}});
  delegations.roles.push_back({"n", {}, false, {{}}, {}});
  EXPECT_THAT(names(delegations, "b/x"), ElementsAre("z", "a"));
  EXPECT_THAT(names(delegations, "c/x"), ElementsAre("a"));
  EXPECT_THAT(names(delegations, "x"), ElementsAre());
}

TEST(Delegates, AreFoundByTheHashOfThePath) {
  // SHA-256 of "abc" begins with ba7816bf.
  Delegations delegations;
  delegations.roles.push_back({"no", {}, false, {}, {"bb", "ba79"}});
  delegations.roles.push_back({"yes", {}, false, {}, {"00", "ba78"}});
  EXPECT_THAT(names(delegations, "abc"), ElementsAre("yes"));
}

TEST(Delegates, BinsTakeTheFirstBitsOfTheHash) {
  Delegations delegations;
  for (const auto& [bits, name] : std::initializer_list<std::pair<int, const char*>>{{1, "bin-1"},
                                                                                     {3, "bin-5"},
                                                                                     {4, "bin-b"},
                                                                                     {5, "bin-17"},
                                                                                     {8, "bin-ba"},
                                                                                     {10, "bin-2e9"},
                                                                                     {32, "bin-ba7816bf"}}) {
    delegations.bins = HashBins{{}, bits, "bin"};
    EXPECT_THAT(names(delegations, "abc"), ElementsAre(name));
    EXPECT_TRUE(delegates_for(delegations, "abc").front().terminating);
  }
}

}  // namespace
}  // namespace verge::trust
