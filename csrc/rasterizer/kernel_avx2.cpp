#define GEOLRM_RASTER_ISA avx2
#include "kernel.inl"
