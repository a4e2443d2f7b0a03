#pragma once

#include <pybind11/pybind11.h>

namespace geolrm {

void bind_deformable_attention(pybind11::module_& module);

}  // namespace geolrm
