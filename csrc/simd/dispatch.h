// Which of a kernel's compiled copies runs.
#pragma once

#include "cpu_features.h"

namespace geolrm {

// Kernel: a struct of functions with the static members plain, avx2, avx512 and neon. Each is
// defined in the kernel's .inl, where GEOLRM_ISA names it, so in one of the sources that CMake
// makes.
template <class Kernel>
const Kernel& kernel_for(Isa isa) {
#ifdef GEOLRM_X86
  if (isa == Isa::kAvx512) return Kernel::avx512;
  if (isa == Isa::kAvx2) return Kernel::avx2;
#endif
#ifdef GEOLRM_ARM64
  if (isa == Isa::kNeon) return Kernel::neon;
#endif
  (void)isa;
  return Kernel::plain;
}

// By a name from Python, see parse_isa.
template <class Kernel>
const Kernel& kernel_for(const std::string& isa) {
  return kernel_for<Kernel>(parse_isa(isa));
}

}  // namespace geolrm
