#define GEOLRM_SIMD "simd_avx2.h"
#include "view_sampling_kernel.h"
