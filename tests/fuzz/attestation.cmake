verge_fuzz(quote SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_quote.cpp LINKS Verge::attestation)
verge_fuzz(endorsement SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_endorsement.cpp LINKS Verge::attestation)
