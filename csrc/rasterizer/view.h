// Checks a camera and a size, and derives what the kernels need of them.
#pragma once

#include "rasterizer_kernel.h"

namespace geolrm::raster {

constexpr int kMaxImageSide = 16384;

void check_parameters(const Parameters& parameters);

// Throws std::invalid_argument with the value, the rule and the remedy. tile_size: 32 or 64 px.
void check_image(ImageSize size, int tile_size);

// The same, and of the camera.
View make_view(const Camera& camera, ImageSize size, const Parameters& parameters, int tile_size);

}  // namespace geolrm::raster
