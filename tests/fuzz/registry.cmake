verge_fuzz(registry SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_registry.cpp LINKS Verge::registry_client Verge::crypto)
