#include "canonical_json.hpp"

#include <gtest/gtest.h>

namespace verge::trust {
namespace {

std::string canonical(std::string_view json) {
  const auto node = wire::parse_json(json, "test");
  if (!node) return node.error().id();
  const auto text = canonical_json(*node);
  return text ? *text : text.error().id();
}

TEST(CanonicalJson, IsSpelledAsSecuresystemslibDoes) {
  EXPECT_EQ(canonical(R"( { "b" : [ 1 , true, null, false ], "a" : { } , "B": "" } )"),
            R"({"B":"","a":{},"b":[1,true,null,false]})");
  EXPECT_EQ(canonical("[]"), "[]");
  EXPECT_EQ(canonical("-0"), "0");
  EXPECT_EQ(canonical("[18446744073709551615, -9223372036854775808]"), "[18446744073709551615,-9223372036854775808]");
  EXPECT_EQ(canonical("123456789012345678901234567890"), "123456789012345678901234567890");
}

TEST(CanonicalJson, EscapesOnlyBackslashAndQuote) {
  EXPECT_EQ(canonical(R"(["\"\\\/\n\u0001\u00fc\ud83d\ude00"])"), "[\"\\\"\\\\/\n\x01\xC3\xBC\xF0\x9F\x98\x80\"]");
}

TEST(CanonicalJson, SortsKeysByCodePoint) {
  EXPECT_EQ(canonical("{\"\\uffff\": 1, \"\\ud83d\\ude00\": 2, \"z\": 3, \"\": 4}"),
            "{\"\":4,\"z\":3,\"\xEF\xBF\xBF\":1,\"\xF0\x9F\x98\x80\":2}");
}

TEST(CanonicalJson, TakesWholeNumbersOnly) {
  for (const char* json : {"1.0", "1e3", "[0.5]", R"({"a": {"b": 1.5}})"}) EXPECT_EQ(canonical(json), "VRG-TUF-002");
}

}  // namespace
}  // namespace verge::trust
