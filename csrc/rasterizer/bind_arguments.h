// Checks of NumPy arguments: each refusal names the value, the rule and the remedy.
#pragma once

#include <pybind11/numpy.h>

#include <vector>

#include "parameters.h"

namespace geolrm::raster {

using Doubles = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;

// A C-contiguous float32 array of the shape, -1 for any length; no silent copy or cast.
const float* require(const pybind11::array& a, const char* name,
                     std::vector<pybind11::ssize_t> shape);

// Likewise, to be written.
float* require_output(pybind11::array& a, const char* name, std::vector<pybind11::ssize_t> shape);

// w2c [V, 4, 4], intrinsics [V, 3, 3] in pixels.
std::vector<Camera> cameras_of(const Doubles& w2c, const Doubles& intrinsics);

}  // namespace geolrm::raster
