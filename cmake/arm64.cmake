# Toolchain: arm64 by Debian's cross compiler, against the folder that cmake/arm64_sysroot.sh makes (VERGE_ARM64, an
# absolute path; build/arm64 when it is not given). Programs run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VERGE_ARM64)
if(NOT VERGE_ARM64)
  set(VERGE_ARM64 "${CMAKE_CURRENT_LIST_DIR}/../build/arm64")
endif()
get_filename_component(VERGE_ARM64 "${VERGE_ARM64}" ABSOLUTE)

set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_SYSROOT "${VERGE_ARM64}/sysroot")
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)  # Python and generators are this machine's.
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)  # OpenVINO's lies in its wheel.
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")

set(VERGE_SITE_PACKAGES "${VERGE_ARM64}/site-packages" CACHE PATH "The engines' wheels for arm64")
# The tests' programs look for libraries in the sysroot and for everything else where this machine has it.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-cpu;cortex-a76;-L;${CMAKE_SYSROOT})
