# The engines' own libraries, out of the wheels of the project's Python environment, and verge_engine().
#
#   verge_engine(<name> SOURCES <files…> [PRIVATE_LINKS <targets…>] [VENDOR_FOLDER <folder>] [EXPORTS <map>])
#
# makes the plug-in libverge_engine_<name>.so (target engine_<name>) in VERGE_ENGINE_FOLDER. It exports
# verge_engine_entry() and nothing else, unless it has a map of its own. In the build tree it finds its vendor's library in VENDOR_FOLDER, installed in
# ../vendor beside its own folder, so that an installed tree needs no Python environment.
#
# An engine whose wheel is not there is left out, and the configure step says so.

set(VERGE_ENGINE_FOLDER "${CMAKE_BINARY_DIR}/lib/verge/engines")
set(VERGE_ENGINE_INSTALL_FOLDER "${CMAKE_INSTALL_LIBDIR}/verge/engines")
set(VERGE_VENDOR_INSTALL_FOLDER "${CMAKE_INSTALL_LIBDIR}/verge/vendor")
# Its C functions change between versions: see engines/litert/src/litert_api.hpp.
set(VERGE_LITERT_PINNED_VERSION 2.3.0)
add_custom_target(engines COMMENT "Engine plug-ins")

set(VERGE_SITE_PACKAGES "" CACHE PATH "Folder of the engines' wheels; that of VERGE_PYTHON when it is empty")
execute_process(
  COMMAND "${VERGE_PYTHON}" -c "import sysconfig; print(sysconfig.get_paths()['platlib'])"
  OUTPUT_VARIABLE verge_site_packages OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE verge_python_failed)
if(verge_python_failed)
  set(verge_site_packages "")
  message(WARNING "No Python environment at VERGE_PYTHON (${VERGE_PYTHON}): only the engine 'fake' is built. "
                  "Make the environment (./dev setup) and configure again.")
endif()

if(VERGE_SITE_PACKAGES)
  set(verge_site_packages "${VERGE_SITE_PACKAGES}")
endif()

# OpenVINO: headers, libraries and a CMake package inside the wheel.
if(VERGE_SANITIZERS)
  # Its TBB loads a library with RTLD_DEEPBIND, at which the sanitizers' runtime ends the program.
  message(STATUS "Engine openvino: left out, it cannot run with sanitizers")
elseif(verge_site_packages)
  # Its package adds a definition to every target of the project: only its own targets need it.
  get_directory_property(verge_definitions COMPILE_DEFINITIONS)
  find_package(OpenVINO 2026.4 CONFIG PATHS "${verge_site_packages}/openvino/cmake" NO_DEFAULT_PATH QUIET
               COMPONENTS Runtime)
  set_directory_properties(PROPERTIES COMPILE_DEFINITIONS "${verge_definitions}")
endif()
if(OpenVINO_FOUND)
  set(VERGE_OPENVINO_LIBRARIES "${verge_site_packages}/openvino/libs")
  # Of the wheel's libraries those that run the formats we promise, on a CPU.
  set(verge_openvino_installed)
  foreach(part libopenvino.so libopenvino_intel_cpu_plugin.so libopenvino_arm_cpu_plugin.so libopenvino_ir_frontend.so libopenvino_onnx_frontend.so
          libopenvino_tensorflow_frontend.so libopenvino_tensorflow_lite_frontend.so libopenvino_paddle_frontend.so
          libtbb.so libtbbmalloc.so libtbbbind libhwloc.so)
    file(GLOB found "${VERGE_OPENVINO_LIBRARIES}/${part}*")
    list(APPEND verge_openvino_installed ${found})
  endforeach()
  install(FILES ${verge_openvino_installed} DESTINATION "${VERGE_VENDOR_INSTALL_FOLDER}" COMPONENT engine_openvino)
  message(STATUS "Engine openvino: ${OpenVINO_VERSION}")
elseif(NOT VERGE_SANITIZERS)
  message(STATUS "Engine openvino: left out, no wheel 'openvino' 2026.4 in '${verge_site_packages}'")
endif()

# LiteRT: one library without headers or version function; the wheel's metadata say which it is.
file(GLOB verge_litert_info "${verge_site_packages}/ai_edge_litert-${VERGE_LITERT_PINNED_VERSION}.dist-info")
if(verge_site_packages AND verge_litert_info AND EXISTS "${verge_site_packages}/ai_edge_litert/libLiteRt.so")
  set(VERGE_LITERT_VERSION "${VERGE_LITERT_PINNED_VERSION}")
  set(VERGE_LITERT_LIBRARY "${verge_site_packages}/ai_edge_litert/libLiteRt.so")
  install(FILES "${VERGE_LITERT_LIBRARY}" DESTINATION "${VERGE_VENDOR_INSTALL_FOLDER}" COMPONENT engine_litert)
  message(STATUS "Engine litert: ${VERGE_LITERT_VERSION}")
else()
  message(STATUS "Engine litert: left out, no wheel 'ai-edge-litert' ${VERGE_LITERT_PINNED_VERSION} "
                 "in '${verge_site_packages}'")
endif()

# ExecuTorch: headers and libraries inside the wheel. Its CMake package wants CMake 3.28; these are the same settings.
file(GLOB verge_executorch_info "${verge_site_packages}/executorch-*.dist-info")
set(VERGE_EXECUTORCH_LIBRARIES "${verge_site_packages}/executorch/lib")
if(verge_site_packages AND verge_executorch_info AND EXISTS "${VERGE_EXECUTORCH_LIBRARIES}/libexecutorch.so")
  string(REGEX MATCH "executorch-([0-9.]+)\\.dist-info" verge_executorch_info "${verge_executorch_info}")
  set(VERGE_EXECUTORCH_VERSION "${CMAKE_MATCH_1}")
  set(verge_executorch_libraries)
  foreach(part executorch executorch_threadpool executorch_kernels_optimized executorch_kernels_quantized
          executorch_backend_xnnpack)
    list(APPEND verge_executorch_libraries "${VERGE_EXECUTORCH_LIBRARIES}/lib${part}.so")
  endforeach()
  add_library(executorch_runtime INTERFACE IMPORTED)
  target_include_directories(executorch_runtime SYSTEM INTERFACE
    "${verge_site_packages}/executorch/include"
    "${verge_site_packages}/executorch/include/executorch/runtime/core/portable_type/c10")
  target_compile_definitions(executorch_runtime INTERFACE
    C10_USING_CUSTOM_GENERATED_MACROS ET_EVENT_TRACER_ENABLED ET_USE_THREADPOOL)
  # Kernels and XNNPACK register themselves when they are loaded: nothing calls them by name.
  target_link_libraries(executorch_runtime INTERFACE
    "-Wl,--push-state,--no-as-needed" ${verge_executorch_libraries} "-Wl,--pop-state")
  install(FILES ${verge_executorch_libraries} DESTINATION "${VERGE_VENDOR_INSTALL_FOLDER}"
          COMPONENT engine_executorch)
  message(STATUS "Engine executorch: ${VERGE_EXECUTORCH_VERSION}")
else()
  message(STATUS "Engine executorch: left out, no wheel 'executorch' in '${verge_site_packages}'")
endif()

# LibTorch: Debian's, which brings 600 MB with it; only where it is asked for (./dev verify torch).
option(VERGE_TORCH "Build the engine 'torch' (TorchScript, PyTorch Mobile) with Debian's libtorch-dev" OFF)
if(VERGE_TORCH)
  find_path(VERGE_TORCH_INCLUDE_DIR torch/csrc/api/include/torch/version.h REQUIRED)
  add_library(torch_runtime INTERFACE IMPORTED)
  target_include_directories(torch_runtime SYSTEM INTERFACE "${VERGE_TORCH_INCLUDE_DIR}"
                             "${VERGE_TORCH_INCLUDE_DIR}/torch/csrc/api/include")
  # Kernels register themselves when they are loaded: nothing calls them by name.
  target_link_libraries(torch_runtime INTERFACE "-Wl,--push-state,--no-as-needed")
  foreach(part torch torch_cpu c10)
    find_library(VERGE_TORCH_${part} ${part} REQUIRED)
    target_link_libraries(torch_runtime INTERFACE "${VERGE_TORCH_${part}}")
  endforeach()
  target_link_libraries(torch_runtime INTERFACE "-Wl,--pop-state")
  message(STATUS "Engine torch: ${VERGE_TORCH_torch}")
endif()

function(verge_engine name)
  cmake_parse_arguments(PARSE_ARGV 1 E "" "VENDOR_FOLDER;EXPORTS" "SOURCES;PRIVATE_LINKS")
  set(target engine_${name})
  set(map "${CMAKE_SOURCE_DIR}/edge_application/engines/exports.map")
  if(E_EXPORTS)
    set(map "${E_EXPORTS}")
  endif()
  add_library(${target} MODULE ${E_SOURCES})
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(${target} PRIVATE verge_flags Verge::engine_plugin ${E_PRIVATE_LINKS})
  target_link_options(${target} PRIVATE "LINKER:--version-script=${map}" "LINKER:--exclude-libs,ALL")
  if(NOT VERGE_SANITIZERS)
    target_link_options(${target} PRIVATE "LINKER:-z,defs")
  endif()
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME verge_engine_${name}
    LIBRARY_OUTPUT_DIRECTORY "${VERGE_ENGINE_FOLDER}"
    LINK_DEPENDS "${map}"
    INSTALL_RPATH "")
  if(E_VENDOR_FOLDER)
    set_target_properties(${target} PROPERTIES BUILD_RPATH "${E_VENDOR_FOLDER}" INSTALL_RPATH "$ORIGIN/../vendor")
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION "${VERGE_ENGINE_INSTALL_FOLDER}" COMPONENT engine_${name})
  add_dependencies(engines ${target})
endfunction()
