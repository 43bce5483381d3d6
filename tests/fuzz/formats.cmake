verge_fuzz(documents SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_documents.cpp LINKS Verge::wire)
verge_fuzz(edge_config SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_edge_config.cpp LINKS Verge::edge_agent)
verge_fuzz(image_layout SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_image_layout.cpp LINKS Verge::package Verge::crypto)
verge_fuzz(package SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_package.cpp LINKS Verge::processing_model)
verge_fuzz(infer_request SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_infer_request.cpp
  LINKS Verge::inference_api nlohmann_json::nlohmann_json)
verge_fuzz(tflite_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_tflite_file.cpp LINKS Verge::engine_tflite_file)
verge_fuzz(executorch_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_executorch_file.cpp
  LINKS Verge::engine_executorch_file)
if(TARGET fuzz_executorch_file)
  target_include_directories(fuzz_executorch_file PRIVATE
    "${CMAKE_SOURCE_DIR}/edge_application/engines/executorch_file/src")
endif()
foreach(target package infer_request)
  if(TARGET fuzz_${target})
    add_dependencies(fuzz_${target} engine_fake)
  endif()
endforeach()
