# verge_module(): the one way to declare a module.
#
#   verge_module(<name> LAYER <n> [INTERFACE]
#                SOURCES <files…>
#                [PUBLIC_LINKS <targets…>] [PRIVATE_LINKS <targets…>])
#
# Layout: include/verge/<…>/*.hpp is the module's whole promise, src/ is its own business.
# A module may link only modules of a lower layer; the configure step stops, naming both modules, otherwise.
# A cycle is refused (GLOBAL_DEPENDS_NO_CYCLES), and a header that does not compile alone fails the build
# (VERIFY_INTERFACE_HEADER_SETS).

set_property(GLOBAL PROPERTY GLOBAL_DEPENDS_NO_CYCLES ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
define_property(TARGET PROPERTY VERGE_LAYER BRIEF_DOCS "Layer of a Verge module; links go downwards only")

function(verge_module name)
  cmake_parse_arguments(PARSE_ARGV 1 M "INTERFACE" "LAYER" "SOURCES;PUBLIC_LINKS;PRIVATE_LINKS")
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "verge_module(${name}): unknown arguments: ${M_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT M_LAYER MATCHES "^[0-9]+$")
    message(FATAL_ERROR "verge_module(${name}): LAYER must be a number, got '${M_LAYER}'")
  endif()
  set(target verge_${name})
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/include/*.hpp"
                                              "${CMAKE_CURRENT_SOURCE_DIR}/include/*.h")
  if(M_INTERFACE)
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(${target} STATIC ${M_SOURCES})
    set(scope PUBLIC)
    target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
    target_link_libraries(${target} PRIVATE "$<BUILD_INTERFACE:verge_flags>")
  endif()
  add_library(Verge::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERGE_LAYER ${M_LAYER})
  if(headers)
    target_sources(${target} ${scope} FILE_SET HEADERS
                   BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/include" FILES ${headers})
  endif()
  target_link_libraries(${target} ${scope} ${M_PUBLIC_LINKS})
  if(M_PRIVATE_LINKS)
    target_link_libraries(${target} PRIVATE ${M_PRIVATE_LINKS})
  endif()
  set_property(GLOBAL APPEND PROPERTY VERGE_MODULES ${target})
  set_property(TARGET ${target} PROPERTY VERGE_DECLARED_LINKS "${M_PUBLIC_LINKS};${M_PRIVATE_LINKS}")
endfunction()

# Checked when every module is known, so that the order of add_subdirectory() does not matter.
function(verge_check_layers)
  get_property(modules GLOBAL PROPERTY VERGE_MODULES)
  foreach(module IN LISTS modules)
    get_target_property(layer ${module} VERGE_LAYER)
    get_target_property(links ${module} VERGE_DECLARED_LINKS)
    foreach(link IN LISTS links)
      if(NOT TARGET ${link})
        continue()
      endif()
      get_target_property(aliased ${link} ALIASED_TARGET)
      if(aliased)
        set(link ${aliased})
      endif()
      get_target_property(link_layer ${link} VERGE_LAYER)
      if(link_layer STREQUAL "link_layer-NOTFOUND")
        continue()
      endif()
      if(NOT link_layer LESS layer)
        message(FATAL_ERROR "Forbidden link: module '${module}' (layer ${layer}) links '${link}' (layer ${link_layer}). "
                            "A module may link only lower layers: move what is shared down, or turn the link round.")
      endif()
    endforeach()
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL verge_check_layers)
