// What libjpeg does with its errors here: it jumps back with a message.
#pragma once

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>

namespace verge::processing {

/// libjpeg's own structure first, ours behind it.
struct JpegErrorTrap {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

/// For error_exit.
[[noreturn]] inline void on_jpeg_error(j_common_ptr info) {
  auto* trap = reinterpret_cast<JpegErrorTrap*>(info->err);
  info->err->format_message(info, trap->message);
  std::longjmp(trap->jump, 1);
}

}  // namespace verge::processing
