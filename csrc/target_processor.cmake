# geolrm_target_processor(RESULT): x86_64, arm64 or other, as the compiler's target has it. What CMake
# says of the processor is the host's where only flags choose the target, as on Apple silicon.
include(CheckCXXSourceCompiles)

function(geolrm_target_processor result)
  list(LENGTH CMAKE_OSX_ARCHITECTURES architectures)
  if(APPLE AND architectures GREATER 1)
    message(FATAL_ERROR "CMAKE_OSX_ARCHITECTURES is ${CMAKE_OSX_ARCHITECTURES}; one build has the kernels of one "
      "architecture: build a wheel for each and join them with delocate-merge")
  endif()
  set(CMAKE_REQUIRED_QUIET ON)
  check_cxx_source_compiles("
    #if !(defined(__x86_64__) || defined(_M_X64)) || defined(_M_ARM64EC)
    #error another
    #endif
    int main() {}" GEOLRM_TARGET_IS_X86_64)
  check_cxx_source_compiles("
    #if !(defined(__aarch64__) || defined(_M_ARM64)) || defined(__AARCH64EB__)
    #error another
    #endif
    int main() {}" GEOLRM_TARGET_IS_ARM64)
  if(GEOLRM_TARGET_IS_X86_64)
    set(${result} x86_64 PARENT_SCOPE)
  elseif(GEOLRM_TARGET_IS_ARM64)
    set(${result} arm64 PARENT_SCOPE)
  else()
    set(${result} other PARENT_SCOPE)
  endif()
endfunction()
