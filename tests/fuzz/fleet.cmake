verge_fuzz(fleet_documents SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_fleet_documents.cpp LINKS Verge::wire)
verge_fuzz(manifest SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_manifest.cpp LINKS Verge::package Verge::crypto)
verge_fuzz(selector SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_selector.cpp LINKS Verge::hub_service)
verge_fuzz(registry_manifest SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_registry_manifest.cpp
           LINKS Verge::hub_service Verge::hub_store Verge::trust Verge::crypto)
if(VERGE_FUZZ)
  target_include_directories(fuzz_registry_manifest PRIVATE "${CMAKE_SOURCE_DIR}/model_management/service/src")
endif()
verge_fuzz(hub_request SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_hub_request.cpp LINKS Verge::hub_api Verge::crypto)
