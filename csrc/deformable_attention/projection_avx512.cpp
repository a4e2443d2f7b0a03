#define GEOLRM_SIMD "simd_avx512.h"
#include "projection_kernel.h"
