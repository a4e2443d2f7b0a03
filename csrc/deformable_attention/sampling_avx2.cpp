#define GEOLRM_SIMD "simd_avx2.h"
#include "sampling_kernel.h"
