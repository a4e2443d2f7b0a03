#pragma once

#include <pybind11/pybind11.h>

namespace geolrm::mesh {

void bind(pybind11::module_& module);

}  // namespace geolrm::mesh
