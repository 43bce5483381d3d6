verge_fuzz(encrypted_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_encrypted_file.cpp LINKS Verge::at_rest)
verge_fuzz(sealed_keys SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_sealed_keys.cpp LINKS Verge::at_rest Verge::wire)
