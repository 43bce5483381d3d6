# Warnings are errors, in every preset, under GCC and Clang. Third-party headers are SYSTEM.
add_library(verge_flags INTERFACE)
target_compile_options(verge_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Wcast-align -Wformat=2 -Wundef -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -Wmaybe-uninitialized and -Wrestrict give false alarms on std::optional and std::string in GCC 12.
  target_compile_options(verge_flags INTERFACE -Wduplicated-cond -Wlogical-op -Wno-maybe-uninitialized -Wno-restrict)
endif()
# 'A step's options default to these' is what designated initialisers are for.
target_compile_options(verge_flags INTERFACE -Wno-missing-field-initializers)
if(VERGE_SANITIZERS)
  add_compile_options(-fsanitize=${VERGE_SANITIZERS} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VERGE_SANITIZERS})
  add_compile_definitions(VERGE_SANITIZED=1)
  if(VERGE_SANITIZERS MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio has fences, which GCC's ThreadSanitizer does not see; what Asio hands over goes through its mutexes as well.
    add_compile_options(-Wno-tsan)
  endif()
endif()
if(VERGE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # Every module reports its edges: libFuzzer is blind without.
endif()
option(VERGE_COVERAGE "Count executed lines (gcov)" OFF)
if(VERGE_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
