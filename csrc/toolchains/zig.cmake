# Compiles for another machine, or for an older C library, with the clang and the headers that
# `pip install ziglang` brings:
#
#   cmake -S . -B build/arm --toolchain csrc/toolchains/zig.cmake -DGEOLRM_ZIG_TARGET=TARGET
#
# TARGET: x86_64-linux-gnu.2.28 (manylinux_2_28), aarch64-linux-gnu.2.28, x86_64-linux-musl,
# aarch64-macos, x86_64-windows-gnu, or any other of `zig targets`.
# GEOLRM_ZIG: the zig program; without it, that of the ziglang package beside Python, then PATH's.
# Runs on Linux, macOS and Windows, by Ninja or make.

if(NOT GEOLRM_ZIG_TARGET)
  message(FATAL_ERROR "GEOLRM_ZIG_TARGET is not set; pass -DGEOLRM_ZIG_TARGET=aarch64-linux-gnu.2.28")
endif()
set(GEOLRM_ZIG_TARGET "${GEOLRM_ZIG_TARGET}" CACHE STRING "what zig compiles for")

if(NOT GEOLRM_ZIG)
  foreach(python IN ITEMS "${Python_EXECUTABLE}" "${Python3_EXECUTABLE}" "${PYTHON_EXECUTABLE}" python3)
    if(python)
      execute_process(
        COMMAND "${python}" -c "import pathlib, sys, ziglang; print((pathlib.Path(ziglang.__file__).parent / ('zig.exe' if sys.platform == 'win32' else 'zig')).as_posix(), end='')"
        OUTPUT_VARIABLE zig RESULT_VARIABLE failed ERROR_QUIET)
      if(failed EQUAL 0)
        set(GEOLRM_ZIG "${zig}" CACHE FILEPATH "zig")
        break()
      endif()
    endif()
  endforeach()
  find_program(GEOLRM_ZIG zig)
  if(NOT GEOLRM_ZIG)
    message(FATAL_ERROR "zig is not installed; pip install ziglang, or pass -DGEOLRM_ZIG=/path/to/zig")
  endif()
endif()
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GEOLRM_ZIG GEOLRM_ZIG_TARGET)

# The system is named only where it is another: naming it makes CMake cross-compile.
if(GEOLRM_ZIG_TARGET MATCHES "^([^-]+)-([^-.]+)")
  set(zig_processor "${CMAKE_MATCH_1}")
  set(zig_system "${CMAKE_MATCH_2}")
endif()
if(zig_system STREQUAL "linux")
  set(zig_system Linux)
elseif(zig_system STREQUAL "macos")
  set(zig_system Darwin)
  if(zig_processor STREQUAL "aarch64")
    set(zig_processor arm64)
  endif()
elseif(zig_system STREQUAL "windows")
  set(zig_system Windows)
endif()
string(REPLACE "AMD64" "x86_64" zig_host "${CMAKE_HOST_SYSTEM_PROCESSOR}")  # Windows' word
if(NOT "${zig_system} ${zig_processor}" STREQUAL "${CMAKE_HOST_SYSTEM_NAME} ${zig_host}")
  set(CMAKE_SYSTEM_NAME "${zig_system}")
  set(CMAKE_SYSTEM_PROCESSOR "${zig_processor}")
endif()

foreach(language IN ITEMS C CXX)
  string(TOLOWER "${language}" driver)
  string(REPLACE "cxx" "c++" driver "${driver}")
  string(REGEX REPLACE "^c$" "cc" driver "${driver}")
  # No sanitizer: zig puts one into what is not optimised.
  set(CMAKE_${language}_COMPILER
      "${GEOLRM_ZIG}" "${driver}" -target "${GEOLRM_ZIG_TARGET}" -fno-sanitize=undefined)
endforeach()

# CMake calls these without arguments of ours. Nothing is stripped afterwards: zig's objcopy knows ELF
# alone. The linker leaves symbols out.
set(zig_unix_ar "exec '${GEOLRM_ZIG}' ar \"$@\"")
set(zig_unix_ranlib "exec '${GEOLRM_ZIG}' ranlib \"$@\"")
set(zig_unix_strip "exit 0")
set(zig_windows_ar "@\"${GEOLRM_ZIG}\" ar %*")
set(zig_windows_ranlib "@\"${GEOLRM_ZIG}\" ranlib %*")
set(zig_windows_strip "@exit /b 0")
foreach(tool IN ITEMS ar ranlib strip)
  set(wrapper "${CMAKE_BINARY_DIR}/zig/${tool}")
  if(CMAKE_HOST_WIN32)
    string(APPEND wrapper ".cmd")
  endif()
  if(NOT EXISTS "${wrapper}")
    if(CMAKE_HOST_WIN32)
      file(WRITE "${wrapper}" "${zig_windows_${tool}}\n")
    else()
      file(WRITE "${wrapper}" "#!/bin/sh\n${zig_unix_${tool}}\n")
      file(CHMOD "${wrapper}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
    endif()
  endif()
  string(TOUPPER "${tool}" variable)
  set(CMAKE_${variable} "${wrapper}" CACHE FILEPATH "${tool} for zig")
endforeach()
foreach(kind IN ITEMS EXE MODULE SHARED)
  set(CMAKE_${kind}_LINKER_FLAGS_RELEASE_INIT "-s")
endforeach()
if(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
  set(CMAKE_MODULE_LINKER_FLAGS_INIT "-dynamiclib")  # zig 0.17 crashes where it is to link a -bundle
endif()
