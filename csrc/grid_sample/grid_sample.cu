// ONNX GridSample, mode linear, of images [N, C, H, W] and volumes [N, C, D, H, W]: the node of the
// exported graphs, which TensorRT is reported to compile wrongly.
//
// A thread takes one point and every blockDim.y-th channel: neighbouring threads write neighbours.
#include "cuda/device.cuh"

#ifndef GEOLRM_INPUT
#define GEOLRM_INPUT Half  // storage of the input and the output
#define GEOLRM_GRID float  // of the grid
#endif

namespace geolrm {
#include "grid_sample/grid_place.cuh"

using Input = GEOLRM_INPUT;
using Grid = GEOLRM_GRID;

GEOLRM_DEVICE float coordinate(const Grid* at) { return widen(*at); }

}  // namespace geolrm

// input [N, C, D, H, W], grid [N, points, 3] (x, y, z) -> output [N, C, points]; an image has D =
// 0, and its grid rows are (x, y).
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    grid_sample(const geolrm::Input* __restrict__ input, const geolrm::Grid* __restrict__ grid,
                int channels, int depth, int height, int width, int points, int align_corners,
                int border, geolrm::Input* __restrict__ output) {
  using namespace geolrm;
  const int point = blockIdx.x * blockDim.x + threadIdx.x;
  if (point >= points) return;
  const bool volume = depth > 0;
  const Index row = static_cast<Index>(blockIdx.z) * points + point;
  const Grid* at = grid + row * (volume ? 3 : 2);
  const bool align = align_corners != 0, repeat = border != 0;
  const AxisTaps x = place_axis(coordinate(at), width, align, repeat);
  const AxisTaps y = place_axis(coordinate(at + 1), height, align, repeat);
  AxisTaps z = {0, 0, 1.0f, 0.0f};
  if (volume) z = place_axis(coordinate(at + 2), depth, align, repeat);
  const int area = height * width, size = area * (volume ? depth : 1);
  const int places[4] = {z.first * area + y.first * width, z.first * area + y.second * width,
                         z.second * area + y.first * width, z.second * area + y.second * width};
  const float weights[4] = {z.before * y.before, z.before * y.after, z.after * y.before,
                            z.after * y.after};
  const int first = blockIdx.y * blockDim.y + threadIdx.y, step = gridDim.y * blockDim.y;
  for (int channel = first; channel < channels; channel += step) {
    const Index plane = static_cast<Index>(blockIdx.z) * channels + channel;
    const Input* const from = input + plane * size;
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      // A tap that weighs nothing is not read: it may not be finite.
      const float left = weights[k] * x.before, right = weights[k] * x.after;
      if (left != 0.0f) sum = fmaf(left, widen(from[places[k] + x.first]), sum);
      if (right != 0.0f) sum = fmaf(right, widen(from[places[k] + x.second]), sum);
    }
    narrow(sum, output[plane * points + point]);
  }
}
