#define GEOLRM_RASTER_ISA avx512
#include "kernel.inl"
