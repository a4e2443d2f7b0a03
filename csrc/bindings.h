#pragma once

#include <pybind11/numpy.h>

#include <cstdint>

namespace geolrm {

// deformable_cross_attention, mark_touched, ValueProjection, self_attention and the
// differentiable deformable_sampling.
void bind_deformable_attention(pybind11::module_& module);
void bind_value_projection(pybind11::module_& module);
void bind_self_attention(pybind11::module_& module);
void bind_sampling(pybind11::module_& module);

// The sum of H * W over level_shapes [levels, 2] int64. ValueError for a level without pixels, or
// too many of them.
int64_t count_pixels(const pybind11::array& level_shapes);

}  // namespace geolrm
