// FakeModel: the text format of the engine "fake".
//
//   verge-fake 1
//   # a comment
//   input  <name> <type> <shape> [<scale> <zero point>]     for example: input x FP32 [1,4]
//   output <name> <type> <shape> [<scale> <zero point>]     -1 is variable
//   function <name> [<argument>]
//   delay_ms <milliseconds>                                 every run takes so long
//
// Functions: identity (output n is input n, byte for byte, cut or padded with zeros); sum (every element of every
// output is the sum of all elements of all inputs, as stored); constant <number>; fail <message>; fail_after <runs>
// (identity, then failures); crash_after <runs> (identity, then the process is lost); leak <MiB> (identity; every run
// keeps so much more memory). A variable output dimension is that of the first input at the same place.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verge/engines/plugin.hpp"

namespace verge::engines::fake {

enum class Function { identity, sum, constant, fail, fail_after, crash_after, leak };

struct Model {
  std::vector<TensorDescription> inputs;
  std::vector<TensorDescription> outputs;
  Function function = Function::identity;
  double number = 0.0;
  std::string message;
  unsigned delay_ms = 0;
};

/// Throws Failure: INVALID_ARGUMENT when there is no such file, CORRUPT with the line's number for anything malformed.
Model read_model(const std::filesystem::path& path);

}  // namespace verge::engines::fake
