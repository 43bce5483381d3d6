# verge_test(<name> SOURCES <files…> LINKS <targets…>): one GoogleTest program, each case a ctest test.
# VERGE_TEST_DATA (environment; default ../shared/data beside the checkout) names the folder of real models and pictures.
include(GoogleTest)

function(verge_test name)
  cmake_parse_arguments(PARSE_ARGV 1 T "" "" "SOURCES;LINKS;DEFINITIONS")
  add_executable(test_${name} ${T_SOURCES})
  target_link_libraries(test_${name} PRIVATE verge_flags verge_test_support ${T_LINKS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE ${T_DEFINITIONS})
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 300)
endfunction()

# verge_fuzz(<name> SOURCES <files…> LINKS <targets…>): one libFuzzer target; needs Clang and VERGE_FUZZ.
function(verge_fuzz name)
  if(NOT VERGE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 F "" "" "SOURCES;LINKS")
  add_executable(fuzz_${name} ${F_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE verge_flags ${F_LINKS})
  target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()
