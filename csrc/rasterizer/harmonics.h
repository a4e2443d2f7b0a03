// Spherical harmonics for this instruction set.
#pragma once

#ifndef GEOLRM_ARITHMETIC
#define GEOLRM_ARITHMETIC inline
#endif

namespace geolrm::raster::GEOLRM_ISA {
namespace {
#include "arithmetic/spherical_harmonics.h"
}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
