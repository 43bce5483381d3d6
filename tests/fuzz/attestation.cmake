verge_fuzz(quote SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_quote.cpp LINKS Verge::attestation)
