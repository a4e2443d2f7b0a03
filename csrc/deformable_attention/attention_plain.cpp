#define GEOLRM_SIMD "simd_plain.h"
#include "attention_kernel.h"
