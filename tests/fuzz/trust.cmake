verge_fuzz(tuf_metadata SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_tuf_metadata.cpp LINKS Verge::trust Verge::crypto)
if(TARGET fuzz_tuf_metadata)
  target_include_directories(fuzz_tuf_metadata PRIVATE "${CMAKE_SOURCE_DIR}/libraries/trust/src")
endif()
