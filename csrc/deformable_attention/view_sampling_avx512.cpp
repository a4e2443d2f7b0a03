#define GEOLRM_SIMD "simd_avx512.h"
#include "view_sampling_kernel.h"
