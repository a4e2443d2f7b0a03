// The last splat of the few pixels where float could not tell, decided in double.
#include "rasterizer/last_splat.cuh"

// Corrects the images [cameras, height, width] after the last slab, a warp a pixel. list [cameras,
// height * width], listed [cameras]. Grid: (any, cameras). What lies behind an undecided splat
// never counts: near the limit, alpha_min is enough to end the pixel.
GEOLRM_KERNEL GEOLRM_BOUNDS(128, 2)
    decide_pixels(const geolrm::PackedSplat* __restrict__ packed, const float* __restrict__ means,
                  const float* __restrict__ opacities, const float* __restrict__ scales,
                  const float* __restrict__ quats, const float* __restrict__ sh, int coefficients,
                  int count, const geolrm::SplatView* __restrict__ views,
                  const geolrm::Bits* __restrict__ ids, const geolrm::CellBox* __restrict__ boxes,
                  const geolrm::Undecided* __restrict__ list,
                  const geolrm::Bits* __restrict__ listed, int width, int height,
                  float* __restrict__ rgb, float* __restrict__ alpha, float* __restrict__ depth) {
  using namespace geolrm;
  const SplatView& view = views[blockIdx.y];
  const BlendLimits limits = limits_of(view);
  const SplatSource source = {means, opacities, scales, quats};
  const Index of_camera = static_cast<Index>(blockIdx.y) * count;
  const Index image = static_cast<Index>(blockIdx.y) * height * width;
  const Bits warps = blockDim.x / kWarp * gridDim.x;
  const Bits end = listed[blockIdx.y];
  for (Bits i = blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp; i < end; i += warps) {
    const Undecided pixel = list[image + i];
    const int x = static_cast<int>(pixel.pixel) % width, y = static_cast<int>(pixel.pixel) / width;
    LastSplat last;
    if (!find_last_splat(packed, view, ids + of_camera, boxes + of_camera, pixel, x, y, limits,
                         last)) {
      continue;
    }
    const bool counts =
        last_splat_counts(source, view, ids + of_camera, boxes + of_camera, last, x, y);
    if (threadIdx.x % kWarp != 0 || counts == (last.next > limits.transmittance_min)) continue;
    const Bits id = ids[of_camera + last.rank];
    const PackedSplat s = packed[id];
    float color[3] = {s.color[0], s.color[1], s.color[2]};
    if (sh)
      sh_color(sh + static_cast<Index>(id) * coefficients * 3, coefficients, s.mean, view, color);
    // From what the image has to what it should have: the splat's weight, and T.
    const float weight = counts ? last.before - last.next : last.next - last.before;
    const float t = counts ? just_above_limit(limits) : last.before;
    const float shown = counts ? last.before : last.next;
    const Index at = image + pixel.pixel;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      rgb[3 * at + k] += weight * color[k] + (t - shown) * static_cast<float>(view.background[k]);
    }
    depth[at] += weight * static_cast<float>(to_camera(view, s.mean).z);
    alpha[at] = 1.0f - t;
  }
}
