#include "interpreter.hpp"

#include <system_error>

namespace verge::data_processing {

Interpreter find_interpreter(const std::filesystem::path& python, const std::filesystem::path& host) {
  Interpreter found;
  // Alone (-I), leaving nothing behind (-B), saying at once what it says (-u).
  found.program = {python.string(), "-I", "-B", "-u", host.string(), std::to_string(3)};
  found.readable = {host, python};
  std::error_code failed;
  const auto real = std::filesystem::canonical(python, failed);
  if (!failed) {
    found.readable.push_back(real);
    const auto prefix = real.parent_path().parent_path();
    if (prefix != "/usr" && prefix != "/usr/local" && prefix != "/") found.readable.push_back(prefix / "lib");
  }
  // An environment: its packages, and the file that says where its interpreter is.
  const auto environment = python.parent_path().parent_path();
  if (std::filesystem::exists(environment / "pyvenv.cfg", failed)) {
    found.readable.push_back(environment / "pyvenv.cfg");
    found.readable.push_back(environment / "bin");
    found.readable.push_back(environment / "lib");
  }
  return found;
}

std::vector<std::filesystem::path> shared_libraries() {
  return {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"};
}

std::vector<std::string> step_environment() {
  return {"PATH=/usr/bin:/bin", "LANG=C.UTF-8",      "HOME=/nonexistent",     "OPENBLAS_NUM_THREADS=1",
          "OMP_NUM_THREADS=1",  "MKL_NUM_THREADS=1", "NUMEXPR_NUM_THREADS=1", "OPENBLAS_MAIN_FREE=1"};
}

}  // namespace verge::data_processing
