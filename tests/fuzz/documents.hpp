// What fuzz targets of documents share: what a schema's reader takes can be written and read again, as the same.
#pragma once

#include "verge/wire/document.hpp"

namespace verge::fuzz {

inline void check(bool holds) {
  if (!holds) __builtin_trap();
}

template <typename Read>
void read_and_write(const wire::Node& node, Read read) {
  const auto value = read(node, wire::Place("fuzz"));
  if (!value) return;
  const auto written = to_node(*value);
  for (const auto& again :
       {wire::parse_json(wire::write_json(written), "json"), wire::parse_json(wire::write_json_line(written), "line"),
        wire::parse_yaml(wire::write_yaml(written), "yaml")}) {
    check(again.has_value());
    const auto reread = read(*again, wire::Place("again"));
    check(reread.has_value());
    check(wire::write_json(to_node(*reread)) == wire::write_json(written));
  }
}

}  // namespace verge::fuzz
