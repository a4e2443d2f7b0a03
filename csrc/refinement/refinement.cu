// A step of gradient descent on splats: what engine/refinement/refine.py does with NumPy.
#include "cuda/device.cuh"

namespace geolrm {

// One step's numbers, as the host has worked them out in double.
struct LossNumbers {
  float background[3];
  float huber, slope;  // of a colour's error: where it counts linearly, and how much
  float square_share, alpha_share;
  float area;  // reference pixels that one of the image stands for
};
struct AdamNumbers {
  float first, second;  // shares of the new gradient in the moments
  float square_bias;    // what the second moment is divided by
  float floor;
};

GEOLRM_DEVICE float clamped(float x, float low, float high) { return fminf(fmaxf(x, low), high); }

}  // namespace geolrm

// Parameters to what is rendered. logits [count], log_scales [count, 3], quats [count, 4]; color
// [count * of_color] is taken into [0, 1] where it is not harmonics.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    activate_splats(const float* __restrict__ logits, const float* __restrict__ log_scales,
                    const float* __restrict__ quats, const float* __restrict__ color, int count,
                    int of_color, int harmonics, float* __restrict__ opacities,
                    float* __restrict__ scales, float* __restrict__ unit_quats,
                    float* __restrict__ seen_color) {
  using namespace geolrm;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Index at = i;
  opacities[at] = 1.0f / (1.0f + expf(-logits[at]));
  float norm = 0.0f;
#pragma unroll
  for (int k = 0; k < 3; ++k) scales[3 * at + k] = expf(log_scales[3 * at + k]);
#pragma unroll
  for (int k = 0; k < 4; ++k) norm += quats[4 * at + k] * quats[4 * at + k];
  norm = fmaxf(sqrtf(norm), 1e-12f);
#pragma unroll
  for (int k = 0; k < 4; ++k) unit_quats[4 * at + k] = quats[4 * at + k] / norm;
  for (int k = 0; k < of_color; ++k) {
    const float c = color[at * of_color + k];
    seen_color[at * of_color + k] = harmonics != 0 ? c : clamped(c, 0.0f, 1.0f);
  }
}

// dL/d(images) of the chosen views, from their renders: rgb [chosen, pixels, 3] and alpha [chosen,
// pixels], in place. premultiplied [views, pixels, 3], target_alpha and weights [views, pixels],
// weights may be null. A thread a pixel; grid.y: chosen.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    compare_images(const float* __restrict__ premultiplied, const float* __restrict__ target_alpha,
                   const float* __restrict__ weights, const int* __restrict__ chosen, int pixels,
                   const geolrm::LossNumbers* __restrict__ numbers, float* __restrict__ rgb,
                   float* __restrict__ alpha) {
  using namespace geolrm;
  const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  const Index to = static_cast<Index>(blockIdx.y) * pixels + pixel;
  const Index from = static_cast<Index>(chosen[blockIdx.y]) * pixels + pixel;
  const LossNumbers n = *numbers;
  const float wanted = target_alpha[from], weight = weights ? weights[from] : 1.0f;
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    const float error =
        rgb[3 * to + k] - premultiplied[3 * from + k] - (1.0f - wanted) * n.background[k];
    const float slope = n.slope * clamped(error / n.huber, -1.0f, 1.0f) + n.square_share * error;
    rgb[3 * to + k] = slope * weight * n.area;
  }
  alpha[to] = n.alpha_share * (alpha[to] - wanted) * weight * n.area;
}

// One step of Adam on an array of `size` numbers. The gradient is that of what is rendered, and
// `activation` what leads there: 0 nothing, 1 the logistic function, 2 the exponential, whose
// values are `activated`. Number i has the rate rates[i / inner % parts].
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    step_adam(float* __restrict__ values, float* __restrict__ mean, float* __restrict__ square,
              const float* __restrict__ gradient, const float* __restrict__ activated,
              int activation, int size, const float* __restrict__ rates, int inner, int parts,
              const geolrm::AdamNumbers* __restrict__ numbers) {
  using namespace geolrm;
  const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
  const AdamNumbers n = *numbers;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += step) {
    float g = gradient[i];
    if (activation == 1) g = g * activated[i] * (1.0f - activated[i]);
    if (activation == 2) g *= activated[i];
    const float m = mean[i] + n.first * (g - mean[i]);
    const float s = square[i] + n.second * (g * g - square[i]);
    mean[i] = m;
    square[i] = s;
    values[i] -= rates[i / inner % parts] * m / (sqrtf(s / n.square_bias) + n.floor);
  }
}
