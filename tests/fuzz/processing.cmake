verge_fuzz(image SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_image.cpp LINKS Verge::processing_codec)
verge_fuzz(features SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_features.cpp LINKS Verge::processing_features)
verge_fuzz(preprocessing SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_preprocessing.cpp LINKS Verge::processing_preprocess)
verge_fuzz(postprocessing SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_postprocessing.cpp LINKS Verge::processing_postprocess)
