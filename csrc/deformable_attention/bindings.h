#pragma once

#include <pybind11/pybind11.h>

namespace geolrm {

// deformable_cross_attention, mark_touched, ValueProjection and self_attention.
void bind_deformable_attention(pybind11::module_& module);
void bind_value_projection(pybind11::module_& module);
void bind_self_attention(pybind11::module_& module);

}  // namespace geolrm
