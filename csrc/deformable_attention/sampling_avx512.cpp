#define GEOLRM_SIMD "simd_avx512.h"
#include "sampling_kernel.h"
