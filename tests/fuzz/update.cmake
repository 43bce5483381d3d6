verge_fuzz(bundle SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_bundle.cpp LINKS Verge::bundle)
