#pragma once

#include <pybind11/pybind11.h>

namespace geolrm::dlpack {

void bind(pybind11::module_& module);

}  // namespace geolrm::dlpack
