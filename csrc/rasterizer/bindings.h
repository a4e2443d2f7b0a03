#pragma once

#include <pybind11/pybind11.h>

namespace geolrm::raster {

void bind(pybind11::module_& module);             // SplatModel, and the rest
void bind_parameters(pybind11::module_& module);  // RasterParameters, raster_views

}  // namespace geolrm::raster
