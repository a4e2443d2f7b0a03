// Cameras of NumPy arguments.
#pragma once

#include <pybind11/numpy.h>

#include <vector>

#include "parameters.h"
#include "python/initialised.h"

GEOLRM_BOUND_CLASS(geolrm::raster::Parameters)

namespace geolrm::raster {

using Doubles = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;

// w2c [V, 4, 4], intrinsics [V, 3, 3] in pixels.
std::vector<Camera> cameras_of(const Doubles& w2c, const Doubles& intrinsics);

}  // namespace geolrm::raster
