# Every library that is not ours, in one place. `./dev` installs them; their versions are pinned in cmake/packages/.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(kissfft REQUIRED COMPONENTS SHARED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(zstd REQUIRED)
find_package(LibLZMA REQUIRED)
find_package(LibArchive REQUIRED)
find_package(CURL 7.88 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_path(VERGE_STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb REQUIRED)

# OpenCV's parts by name: opencv4.pc and OpenCVConfig.cmake come only with the full package and its 400 dependencies.
find_path(VERGE_OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
foreach(part core imgproc videoio)
  find_library(VERGE_OPENCV_${part} opencv_${part} REQUIRED)
  add_library(opencv_${part} INTERFACE IMPORTED)
  target_link_libraries(opencv_${part} INTERFACE "${VERGE_OPENCV_${part}}")
  target_include_directories(opencv_${part} SYSTEM INTERFACE "${VERGE_OPENCV_INCLUDE_DIR}")
endforeach()

include(VergeEngines)

# libmosquitto has no CMake package in Debian.
find_path(VERGE_MOSQUITTO_INCLUDE_DIR mosquitto.h REQUIRED)
find_library(VERGE_MOSQUITTO mosquitto REQUIRED)
add_library(mosquitto INTERFACE IMPORTED)
target_link_libraries(mosquitto INTERFACE "${VERGE_MOSQUITTO}")
target_include_directories(mosquitto SYSTEM INTERFACE "${VERGE_MOSQUITTO_INCLUDE_DIR}")

# Nor have the libraries for TPMs.
find_path(VERGE_TSS_INCLUDE_DIR tss2/tss2_esys.h REQUIRED)
add_library(tss INTERFACE IMPORTED)
target_include_directories(tss SYSTEM INTERFACE "${VERGE_TSS_INCLUDE_DIR}")
foreach(part esys mu rc tctildr)
  find_library(VERGE_TSS_${part} tss2-${part} REQUIRED)
  target_link_libraries(tss INTERFACE "${VERGE_TSS_${part}}")
endforeach()

# Nor has SOCI.
find_path(VERGE_SOCI_INCLUDE_DIR soci/soci.h REQUIRED)
find_library(VERGE_SOCI_CORE soci_core REQUIRED)
find_library(VERGE_SOCI_SQLITE3 soci_sqlite3 REQUIRED)
add_library(soci INTERFACE IMPORTED)
target_link_libraries(soci INTERFACE "${VERGE_SOCI_SQLITE3}" "${VERGE_SOCI_CORE}")
target_include_directories(soci SYSTEM INTERFACE "${VERGE_SOCI_INCLUDE_DIR}")
