// What a loss says to the pixels of a block: given with the image, or by comparing with a target.
#pragma once

#include <algorithm>
#include <cmath>

#include "lanes.h"
#include "rasterizer_kernel.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// dL/d(a block's pixels), 0 outside the image.
struct alignas(64) BlockGradients {
  float rgb[3][kLanes], alpha[kLanes], depth[kLanes];
};

// Calls at(lane, pixel) for each of the block's pixels that lie in the image.
template <class At>
inline void for_pixels(ImageSize size, int x0, int y0, const At& at) {
  const int rows = std::min(kBlock, size.height - y0), columns = std::min(kBlock, size.width - x0);
  for (int j = 0; j < rows; ++j) {
    const int64_t pixel = static_cast<int64_t>(y0 + j) * size.width + x0;
    if (columns == kBlock) {
      for (int i = 0; i < kBlock; ++i) at(kBlock * j + i, pixel + i);
    } else {
      for (int i = 0; i < columns; ++i) at(kBlock * j + i, pixel + i);
    }
  }
}

// Gradients that the caller has worked out.
struct GivenGradients {
  static constexpr bool kCompares = false;
  const ImageGradients& image;
  ImageSize size;

  BlockGradients operator()(const BlockState&, int x0, int y0) const {
    BlockGradients g = {};
    for_pixels(size, x0, y0, [&](int i, int64_t pixel) {
      for (int k = 0; k < 3; ++k) g.rgb[k][i] = image.rgb[3 * pixel + k];
      g.alpha[i] = image.alpha[pixel];
      g.depth[i] = image.depth[pixel];
    });
    return g;
  }
};

// Gradients of the loss between the block's colours and a target, and the loss. Separate products
// and sums, so that they are those of the finished image, bit for bit.
struct ComparedGradients {
  static constexpr bool kCompares = true;
  const ImageTarget& target;
  ImageSize size;
  const float* background;
  alignas(64) double loss[kLanes] = {};  // summed lane by lane

  BlockGradients operator()(const BlockState& state, int x0, int y0) {
    const Loss& n = target.loss;
    alignas(64) float wanted[3][kLanes] = {}, wanted_alpha[kLanes] = {}, weight[kLanes] = {};
    for_pixels(size, x0, y0, [&](int i, int64_t pixel) {
      for (int k = 0; k < 3; ++k) wanted[k][i] = target.premultiplied[3 * pixel + k];
      wanted_alpha[i] = target.alpha[pixel];
      weight[i] = 1.0f;
    });
    if (target.weights) {
      for_pixels(size, x0, y0, [&](int i, int64_t pixel) { weight[i] = target.weights[pixel]; });
    }
    BlockGradients g = {};
    alignas(64) float t[kLanes], value[kLanes] = {};
    for (int i = 0; i < kLanes; ++i) t[i] = std::fabs(state.transmittance[i]);
    for (int k = 0; k < 3; ++k) {
      for (int i = 0; i < kLanes; ++i) {
        const float color = state.color[k][i] + t[i] * background[k];
        const float error = color - wanted[k][i] - (1.0f - wanted_alpha[i]) * background[k];
        const float share = error / n.huber;
        const float limited = share < -1.0f ? -1.0f : share > 1.0f ? 1.0f : share;
        g.rgb[k][i] = (n.slope * limited + n.square_share * error) * weight[i] * n.factor;
        // Half the square up to the width, from there on a line.
        value[i] += n.slope * (error - 0.5f * n.huber * limited) * limited +
                    0.5f * n.square_share * error * error;
      }
    }
    for (int i = 0; i < kLanes; ++i) {
      const float error = (1.0f - t[i]) - wanted_alpha[i];
      g.alpha[i] = n.alpha_share * error * weight[i] * n.factor;
      value[i] += 0.5f * n.alpha_share * error * error;
    }
    for (int i = 0; i < kLanes; ++i) {
      loss[i] += static_cast<double>(value[i] * weight[i] * n.factor);
    }
    return g;
  }

  double total() const {
    double sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += loss[i];
    return sum;
  }
};

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
