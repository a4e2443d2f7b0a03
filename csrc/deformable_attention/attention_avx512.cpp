#define GEOLRM_SIMD "simd_avx512.h"
#include "attention_kernel.h"
