#define GEOLRM_SIMD "simd_plain.h"
#include "projection_kernel.h"
