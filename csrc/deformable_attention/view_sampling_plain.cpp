#define GEOLRM_SIMD "simd_plain.h"
#include "view_sampling_kernel.h"
