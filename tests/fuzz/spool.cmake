verge_fuzz(spool SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_spool.cpp LINKS Verge::spool)
