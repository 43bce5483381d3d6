#include "verge/package/oci_index.hpp"

namespace verge::package {

using wire::Node;

std::string text_of(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found != nullptr && found->kind == Node::Kind::quoted ? found->text : std::string();
}

std::string annotation(const Node& node, std::string_view key) {
  const Node* annotations = node.find("annotations");
  return annotations == nullptr ? std::string() : text_of(*annotations, key);
}

Node new_index() {
  Node index = Node::map();
  index.add("schemaVersion", Node::integer(2));
  index.add("mediaType", Node::string(kIndexMediaType));
  index.add("manifests", Node::list());
  return index;
}

}  // namespace verge::package
