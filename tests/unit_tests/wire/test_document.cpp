#include "verge/wire/document.hpp"

#include <gmock/gmock.h>

namespace verge::wire {
namespace {

using testing::HasSubstr;

TEST(Document, YamlKeepsLinesAndKinds) {
  const auto node = parse_yaml("a: 1\nb:\n  - x\n  - \"1\"\nc: null\n", "f.yaml");
  ASSERT_TRUE(node) << node.error().text();
  EXPECT_EQ(node->find("a")->kind, Node::Kind::plain);
  EXPECT_EQ(node->find("b")->items[1].kind, Node::Kind::quoted);
  EXPECT_EQ(node->find("b")->items[1].line, 4);
  EXPECT_EQ(node->find("c")->kind, Node::Kind::null);
  EXPECT_EQ(node->find("d"), nullptr);
}

TEST(Document, RefusesWhatIsAmbiguousOrDangerous) {
  const auto refused = [](const char* text, const char* id) {
    const auto node = parse_yaml(text, "f.yaml");
    ASSERT_FALSE(node) << text;
    EXPECT_EQ(node.error().id(), id) << text;
    EXPECT_THAT(node.error().message(), HasSubstr("f.yaml line"));
  };
  refused("a: 1\na: 2\n", "VRG-DOC-007");
  refused("a: &x 1\n", "VRG-DOC-001");
  refused("a: *x\n", "VRG-DOC-001");
  refused("a: !!python/object:x 1\n", "VRG-DOC-001");
  refused("a: [1, 2\n", "VRG-DOC-001");
  refused("--- 1\n--- 2\n", "VRG-DOC-001");
  refused("[a]: 1\n", "VRG-DOC-001");
  refused((std::string(200, '[') + std::string(200, ']')).c_str(), "VRG-DOC-008");
}

TEST(Document, JsonKeepsLines) {
  const auto node = parse_json("{\n \"a\": [1,\n 2.50, \"x\", true, null, {}]}", "f.json");
  ASSERT_TRUE(node) << node.error().text();
  EXPECT_EQ(node->find("a")->items[1].text, "2.50");
  EXPECT_EQ(node->find("a")->items[1].line, 3);
  EXPECT_EQ(parse_json("{\"a\":1,\"a\":2}", "f").error().id(), "VRG-DOC-007");
  EXPECT_THAT(parse_json("{\n\"a\": }", "f.json").error().message(), HasSubstr("f.json line 2: not valid JSON"));
  EXPECT_EQ(parse_json(std::string(1000, '['), "f").error().id(), "VRG-DOC-008");
  EXPECT_EQ(parse_json(std::string(5U << 20U, ' '), "f").error().code(), ErrorCode::resource_exhausted);
}

TEST(Document, WritesWhatItReads) {
  Node node = Node::map();
  node.add("text", Node::string("a \"b\"\n"));
  node.add("number", Node::number(0.00392156862745098));
  Node list = Node::list();
  Node step = Node::map();
  step.add("resize", Node::map_of(std::vector<std::pair<std::string, int>>{{"width", 224}, {"height", 224}},
                                  [](int v) { return Node::integer(v); }));
  list.items.push_back(step);
  node.add("steps", list);
  node.add("flag", Node::boolean(true));
  for (const auto& text : {write_json(node), write_json_line(node)}) {
    const auto back = parse_json(text, "x");
    ASSERT_TRUE(back) << text;
    EXPECT_EQ(write_json_line(*back), write_json_line(node));
  }
  const auto yaml = write_yaml(node);
  EXPECT_THAT(yaml, HasSubstr("  - resize: { width: 224, height: 224 }"));
  const auto back = parse_yaml(yaml, "x");
  ASSERT_TRUE(back) << yaml << back.error().text();
  EXPECT_EQ(write_json_line(*back), write_json_line(node));
}

TEST(Document, RefusesBytesThatAreNotUtf8) {
  for (const char* bad : {"\xff", "\xc0\xaf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    for (const auto& node : {parse_yaml("a: 1\nb: " + std::string(bad) + "\n", "f"),
                             parse_json("{\"b\":\n\"" + std::string(bad) + "\"}", "f")}) {
      ASSERT_FALSE(node);
      EXPECT_EQ(node.error().id(), "VRG-DOC-001");
      EXPECT_THAT(node.error().message(), HasSubstr("f line 2"));
    }
  }
  const auto good = parse_yaml("a: \"h\u00e9 \xe2\x82\xac \xf0\x9f\x90\x88\"\n", "f");
  ASSERT_TRUE(good) << good.error().text();
}

TEST(Document, YamlWordsOfAnyKindAreWrittenSoThatTheyReadBack) {
  Node node = Node::map();
  Node inner = Node::map();
  for (const char* word :
       {"", "a b", "#", "a: b", "true", "null", "NULL", "Null", "Off", "n", "~", "1", "-", "\"", "plain"}) {
    inner.add(word, Node::string(word));
  }
  node.add("x: y", inner);
  const auto again = parse_yaml(write_yaml(node), "f");
  ASSERT_TRUE(again) << again.error().text() << write_yaml(node);
  EXPECT_EQ(write_json(*again), write_json(node));
}

TEST(Document, YamlKeysOfAnyLengthReadBack) {
  for (const std::size_t size : {1U, 990U, 1000U, 1001U, 1024U, 5000U}) {
    for (const char c : {'k', '\x01', ' '}) {
      const std::string key(size, c);
      Node inner = Node::map();
      inner.add(key, Node::string("v"));
      inner.add("short", Node::integer(1));
      Node block = Node::map();
      block.add("items", Node::list());
      Node one = Node::map();
      one.add(key, inner);
      block.members.back().second.items = {inner, one};
      Node node = Node::map();
      node.add(key, inner);
      node.add("b", block);
      node.add("c" + key, block);
      const auto again = parse_yaml(write_yaml(node), "f");
      ASSERT_TRUE(again) << again.error().text() << " " << size;
      EXPECT_EQ(write_json(*again), write_json(node)) << size;
    }
  }
}

TEST(Document, WhatIsNoBlockInYamlReadsBack) {
  for (const auto& node : {Node::map(), Node::list(), Node(), Node::integer(3), Node::string("3")}) {
    const auto again = parse_yaml(write_yaml(node), "f");
    ASSERT_TRUE(again) << again.error().text();
    EXPECT_EQ(write_json(*again), write_json(node));
  }
}

TEST(Document, PlacesReadWell) {
  const Place root("f.yaml");
  const Place steps = root.member("steps");
  const Place second = steps.at(1);
  EXPECT_EQ(second.member("resize").text(4), "f.yaml line 4: 'steps[1].resize'");
  EXPECT_EQ(root.text(2), "f.yaml line 2");
}

}  // namespace
}  // namespace verge::wire
