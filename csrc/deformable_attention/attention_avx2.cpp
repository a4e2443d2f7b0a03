#define GEOLRM_SIMD "simd_avx2.h"
#include "attention_kernel.h"
