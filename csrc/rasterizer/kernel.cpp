#include "rasterizer_kernel.h"

namespace geolrm::raster {

const Kernel& kernel_for(Isa isa) {
#if defined(GEOLRM_X86)
  if (isa == Isa::kAvx512) return avx512::kKernel;
  if (isa == Isa::kAvx2) return avx2::kKernel;
#else
  (void)isa;
#endif
  return plain::kKernel;
}

}  // namespace geolrm::raster
