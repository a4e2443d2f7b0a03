// Front-to-back compositing of a slab, float32: a block a tile of 32x32 pixels, a warp two cells of
// 8x8. Between slabs the images hold the state: alpha is then T, negative once finished.
#include "cuda/scan.cuh"
#include "rasterizer/splat.cuh"

namespace geolrm {

constexpr int kBatch = kScanThreads;  // splats blended at a time
constexpr int kCellsOfWarp = 2;
constexpr int kPixels = 2;  // of a lane in a cell, four rows apart
constexpr int kQuad = 4;    // words read at once

#ifdef __CUDACC__
GEOLRM_DEVICE float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
GEOLRM_DEVICE float exp2_of(float x) { return exp2f(x); }
#endif

struct Pixel {
  float running;  // the product of all 1 - alpha: at or below the limit once finished, for good
  float last;     // the transmittance that counts
  float red, green, blue, depth;
};

struct BlendLimits {
  float log2_alpha_min, alpha_max, transmittance_min;
};

// (dx, dy) from the splat's mean to the pixel.
GEOLRM_DEVICE void blend(Pixel& p, const Record& s, float dx, float dy, const BlendLimits& limits) {
  const float u = fmaf(s.a, dx, s.b * dy), v = s.c * dy;
  const float e = fmaf(-v, v, fmaf(-u, u, s.log2_opacity));
  const float alpha = e >= limits.log2_alpha_min ? min(exp2_of(e), limits.alpha_max) : 0.0f;
  const float next = p.running * (1.0f - alpha);
  const bool counts = next > limits.transmittance_min;
  const float weight = counts ? p.running * alpha : 0.0f;
  p.last = counts ? next : p.last;
  p.running = next;
  p.red = fmaf(weight, s.red, p.red);
  p.green = fmaf(weight, s.green, p.green);
  p.blue = fmaf(weight, s.blue, p.blue);
  p.depth = fmaf(weight, s.depth, p.depth);
}

// Four words of a tile's row, which are left zero for the next slab.
GEOLRM_DEVICE void take_words(Bits* row, int at, int words, Bits (&to)[kQuad]) {
#pragma unroll
  for (int k = 0; k < kQuad; ++k) to[k] = 0;
  if (at >= words) return;
  int4* const from = reinterpret_cast<int4*>(row + at);
  const int4 bits = *from;
  to[0] = static_cast<Bits>(bits.x);
  to[1] = static_cast<Bits>(bits.y);
  to[2] = static_cast<Bits>(bits.z);
  to[3] = static_cast<Bits>(bits.w);
  if (to[0] | to[1] | to[2] | to[3]) *from = make_int4(0, 0, 0, 0);
}

}  // namespace geolrm

// Blends ranks [first, stop) into rgb [cameras, height, width, 3], alpha and depth [cameras,
// height, width]. `last`: no slab follows. Grid: (tiles, cameras). words is a multiple of 4.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 3)
    blend_tiles(const geolrm::Record* __restrict__ records,
                const geolrm::SplatView* __restrict__ views, const int* __restrict__ visible,
                int first, int stop, int last, int width, int height, int tiles_x, int words,
                geolrm::Bits* __restrict__ matrix, geolrm::Bits* alive, float* __restrict__ rgb,
                float* __restrict__ alpha, float* __restrict__ depth) {
  using namespace geolrm;
  GEOLRM_SHARED Record batch[kBatch];
  GEOLRM_SHARED unsigned short masks[kBatch];    // cells that a splat touches
  GEOLRM_SHARED unsigned queue[kBatch];          // columns of the matrix
  GEOLRM_SHARED Bits held[kQuad][kScanThreads];  // bits that wait while a batch is blended
  GEOLRM_SHARED Bits open_cells;
  const Index tile = static_cast<Index>(blockIdx.y) * gridDim.x + blockIdx.x;
  const Bits open_before = alive[tile];
  if (open_before == 0) return;  // finished and written in an earlier slab
  const int thread = threadIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int tile_x = blockIdx.x % tiles_x, tile_y = blockIdx.x / tiles_x;
  const int count = visible[blockIdx.y];
  const bool finish = last != 0 || stop >= count;
  const SplatView& view = views[blockIdx.y];
  const float least = static_cast<float>(view.log2_inv_alpha_min);
  const BlendLimits limits = {-least, static_cast<float>(view.alpha_max),
                              static_cast<float>(view.transmittance_limit)};

  const int pixel_x = tile_x * kTile + warp % 2 * kCellsOfWarp * kCell + lane % kCell;
  const int pixel_y = tile_y * kTile + warp / 2 * kCell + lane / kCell;
  const Index image = static_cast<Index>(blockIdx.y) * height * width;
  Pixel pixels[kCellsOfWarp][kPixels];
  bool open[kCellsOfWarp];
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
    open[c] = open_before >> (kCellsOfWarp * warp + c) & 1u;
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = pixel_x + c * kCell, y = pixel_y + k * kCell / kPixels;
      const bool inside = x < width && y < height;
      Pixel& p = pixels[c][k];
      if (first == 0 || !inside) {
        p = {inside ? 1.0f : 0.0f, inside ? 1.0f : -1.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        continue;
      }
      const Index at = image + static_cast<Index>(y) * width + x;
      const float stored = alpha[at];
      p = {stored > 0.0f ? stored : 0.0f,
           stored,
           rgb[3 * at],
           rgb[3 * at + 1],
           rgb[3 * at + 2],
           depth[at]};
    }
  }

  const int ranks = (stop < count ? stop : count) - first;
  const int words_here = ranks > 0 ? (ranks + 31) / 32 : 0;
  Bits* const row = matrix + tile * words;
  const Record* const of_camera = records + static_cast<Index>(blockIdx.y) * words * 32;
  int chunk = 0;  // the first of the words that the block holds
  bool touched = false;
  {
    Bits bits[kQuad];
    take_words(row, kQuad * thread, words_here, bits);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) held[k][thread] = bits[k];
  }
  for (;;) {
    int filled = 0;
    Bits bits[kQuad];
#pragma unroll
    for (int k = 0; k < kQuad; ++k) bits[k] = held[k][thread];
    while (chunk < words_here) {
      Bits mine = 0, total;
#pragma unroll
      for (int k = 0; k < kQuad; ++k) mine += __popc(bits[k]);
      int at = filled + static_cast<int>(sum_before(mine, total));
#pragma unroll
      for (int k = 0; k < kQuad; ++k) {
        while (bits[k] != 0 && at < kBatch) {
          const int bit = __ffs(static_cast<int>(bits[k])) - 1;
          queue[at++] = static_cast<unsigned>(32 * (chunk + kQuad * thread + k) + bit);
          bits[k] &= bits[k] - 1;
        }
      }
      filled += static_cast<int>(total);
      if (filled > kBatch) {
        filled = kBatch;
        break;
      }
      chunk += kQuad * kScanThreads;
      take_words(row, chunk + kQuad * thread, words_here, bits);
      if (filled == kBatch) break;
    }
    if (filled == 0) break;
#pragma unroll
    for (int k = 0; k < kQuad; ++k) held[k][thread] = bits[k];
    touched = true;
    __syncthreads();
    Bits mask = 0;
    if (thread < filled) {
      const Record s = of_camera[queue[thread]];
      batch[thread] = s;
      mask = cells_touched(s, least, tile_x, tile_y);
    }
    masks[thread] = static_cast<unsigned short>(mask);
    __syncthreads();
#pragma unroll
    for (int c = 0; c < kCellsOfWarp; ++c) {
      const int cell = kCellsOfWarp * warp + c;
      const float x = static_cast<float>(pixel_x + c * kCell) + 0.5f;
      const float y = static_cast<float>(pixel_y) + 0.5f;
      for (int begin = 0; begin < filled && open[c]; begin += kWarp) {
        Bits hits = __ballot_sync(kAllLanes, masks[begin + lane] >> cell & 1);
        if (hits == 0) continue;
        do {
          const Record& s = batch[begin + __ffs(static_cast<int>(hits)) - 1];
          hits &= hits - 1;
          const float dx = x - s.mean_x, dy = y - s.mean_y;
          blend(pixels[c][0], s, dx, dy, limits);
          blend(pixels[c][1], s, dx, y + 0.5f * kCell - s.mean_y, limits);
        } while (hits != 0);
        open[c] = __any_sync(kAllLanes, pixels[c][0].running > limits.transmittance_min ||
                                            pixels[c][1].running > limits.transmittance_min);
      }
    }
    if (!__syncthreads_or(open[0] || open[1])) break;
    if (chunk >= words_here) break;
  }

  if (thread == 0) open_cells = 0;
  __syncthreads();
  if (lane == 0) {
    const Bits mine = (open[0] ? 1u : 0u) | (open[1] ? 2u : 0u);
    atomicOr(&open_cells, mine << (kCellsOfWarp * warp));
  }
  __syncthreads();
  const bool finished = finish || open_cells == 0;
  if (thread == 0) alive[tile] = finished ? 0u : open_cells;
  if (!finished && !touched && first > 0) return;
  const float background[3] = {static_cast<float>(view.background[0]),
                               static_cast<float>(view.background[1]),
                               static_cast<float>(view.background[2])};
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = pixel_x + c * kCell, y = pixel_y + k * kCell / kPixels;
      if (x >= width || y >= height) continue;
      const Pixel& p = pixels[c][k];
      const Index at = image + static_cast<Index>(y) * width + x;
      const float t = fabsf(p.last);
      const float behind = finished ? t : 0.0f;
      rgb[3 * at] = p.red + behind * background[0];
      rgb[3 * at + 1] = p.green + behind * background[1];
      rgb[3 * at + 2] = p.blue + behind * background[2];
      const bool running = p.running > limits.transmittance_min;
      alpha[at] = finished ? 1.0f - t : running ? t : -t;
      depth[at] = p.depth;
    }
  }
}
