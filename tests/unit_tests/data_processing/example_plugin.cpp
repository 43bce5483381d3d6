// A plug-in as a data scientist would write one: pictures to a model's input, scores to classes. And hostile ones.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "verge/data_processing/step_abi.h"

#define STEP extern "C" __attribute__((visibility("default"))) int

/// The first pixels, as they are: tensor x is UINT8 [1, n].
STEP prepare(verge_step_call* call) {
  const verge_step_tensor& input = call->tensors[0];
  if (call->sample_size_bytes < input.size_bytes) {
    call->fail(call->context, "expected a larger picture");
    return 1;
  }
  std::memcpy(input.data, call->sample, input.size_bytes);
  return 0;
}

/// As many values as there are bytes, of an input whose size the model leaves open.
STEP prepare_rows(verge_step_call* call) {
  verge_step_tensor& input = call->tensors[0];
  input.shape[0] = static_cast<int64_t>(call->sample_size_bytes);
  auto* const values = static_cast<float*>(input.data);
  for (size_t i = 0; i < call->sample_size_bytes; ++i) values[i] = call->sample[i];
  return 0;
}

STEP judge(verge_step_call* call) {
  char text[256];
  const auto* const scores = static_cast<const unsigned char*>(call->tensors[0].data);
  const int length =
      std::snprintf(text, sizeof(text), R"({"kind":"classes","classes":[{"class":1,"label":"%s","score":%g}]})",
                    call->tensors[0].name, scores[0] / 255.0);
  call->answer(call->context, text, static_cast<size_t>(length));
  return 0;
}

STEP throws(verge_step_call*) {
  throw std::runtime_error("thrown on purpose");
}

STEP loops(verge_step_call*) {
  volatile const bool always = true;
  while (always) {
  }
  return 0;
}

STEP connects(verge_step_call*) {
  return ::socket(AF_INET, SOCK_STREAM, 0);
}

STEP reads_a_foreign_file(verge_step_call* call) {
  const int file = ::open("/etc/passwd", O_RDONLY);
  call->fail(call->context, file < 0 ? "cannot read it" : "could read it");
  return 1;
}

STEP answers_nonsense(verge_step_call* call) {
  call->answer(call->context, "{\"a\":", 5);
  return 0;
}

STEP gives_another_type(verge_step_call* call) {
  call->tensors[0].datatype = VERGE_STEP_FP64;
  return 0;
}
