# What is installed: programs and engines (declared beside their sources), and the library with its exported package.
include(CMakePackageConfigHelpers)

# What other projects link: find_package(Verge), then Verge::processing or Verge::pipeline.
add_library(verge_processing INTERFACE)
target_link_libraries(verge_processing INTERFACE Verge::processing_model Verge::processing_draft)
add_library(verge_pipeline INTERFACE)
target_link_libraries(verge_pipeline INTERFACE verge_processing Verge::pipeline_runner)

set(VERGE_EXPORTED processing pipeline)
foreach(name IN LISTS VERGE_EXPORTED)
  add_library(Verge::${name} ALIAS verge_${name})
  set_target_properties(verge_${name} PROPERTIES EXPORT_NAME ${name})
endforeach()

get_property(modules GLOBAL PROPERTY VERGE_MODULES)
foreach(module IN LISTS modules)
  get_target_property(sets ${module} INTERFACE_HEADER_SETS)
  set(file_sets)
  foreach(set IN LISTS sets)
    list(APPEND file_sets FILE_SET ${set} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  endforeach()
  install(TARGETS ${module} EXPORT VergeTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" ${file_sets})
endforeach()
install(TARGETS verge_processing verge_pipeline EXPORT VergeTargets)

set(destination "${CMAKE_INSTALL_LIBDIR}/cmake/Verge")
install(EXPORT VergeTargets NAMESPACE Verge:: DESTINATION "${destination}")
configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/VergeConfig.cmake.in" "${CMAKE_BINARY_DIR}/VergeConfig.cmake"
                              INSTALL_DESTINATION "${destination}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/VergeConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/VergeConfig.cmake" "${CMAKE_BINARY_DIR}/VergeConfigVersion.cmake"
        DESTINATION "${destination}")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/schemas/" DESTINATION "${CMAKE_INSTALL_DATADIR}/verge/schemas"
        FILES_MATCHING PATTERN "*.schema.json")
install(FILES "${CMAKE_SOURCE_DIR}/infrastructure/config/edge_config.yaml" DESTINATION "${CMAKE_INSTALL_DATADIR}/verge")
