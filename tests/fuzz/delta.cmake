verge_fuzz(delta SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_delta.cpp LINKS Verge::delta Verge::model_file)
verge_fuzz(model_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_model_file.cpp LINKS Verge::model_file)
