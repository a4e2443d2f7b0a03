#define GEOLRM_SIMD "simd_avx2.h"
#include "projection_kernel.h"
