// The levels of the feature maps that both deformable operators sample.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>

namespace geolrm {

// The sum of H * W over level_shapes [levels, 2] int64. ValueError for a level without pixels, or
// too many of them.
int64_t count_pixels(const pybind11::array& level_shapes);

// P of an array [N, h*levels*P], where `group` is h*levels. ValueError unless it divides.
int64_t points_of(const pybind11::array& array, const char* name, int64_t group);

// Sets levels, level_shapes and pixels of an operator.
template <class Op>
void set_levels(Op& op, const pybind11::array& level_shapes) {
  op.pixels = count_pixels(level_shapes);
  op.levels = level_shapes.shape(0);
  op.level_shapes = static_cast<const int64_t*>(level_shapes.data());
}

}  // namespace geolrm
