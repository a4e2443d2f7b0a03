// Alpha of one splat at one pixel in double, for the few decisions that float cannot take.
#pragma once

#include "kernel.h"

namespace geolrm::raster {

// What is left behind a splat, 1 - alpha, at a pixel centre in px. Not inline: the kernels must not
// compile their own copies.
double exact_pass(const PackedSplat& splat, const View& view, const Parameters& parameters,
                  double x, double y);

}  // namespace geolrm::raster
