#define GEOLRM_RASTER_ISA plain
#include "kernel.inl"
