verge_fuzz(custom_steps SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_custom_steps.cpp LINKS Verge::data_processing)
if(TARGET fuzz_custom_steps)
  target_include_directories(fuzz_custom_steps PRIVATE "$<TARGET_PROPERTY:verge_data_processing,SOURCE_DIR>/src")
endif()
