#define GEOLRM_SIMD "simd_plain.h"
#include "sampling_kernel.h"
