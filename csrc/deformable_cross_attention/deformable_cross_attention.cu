// Deformable cross-attention over several views (GeoLRM, section 3.3), fused: sampling of all
// levels, softmax over samples, softmax over views. The node of the exported graphs, as it is.
//
// A block holds blockDim.y queries, each on blockDim.x threads (whole warps) that share its
// channels: a thread owns kChunks times kVector neighbours of one head and keeps their running
// fusion over the views in registers, so nothing of [V, N, d] is ever stored. Views are visited in
// the same order by all blocks: the rows they read meet in the L2 cache.
#include "cuda/device.cuh"

#ifndef GEOLRM_VALUE
#define GEOLRM_VALUE Half       // storage of value
#define GEOLRM_REFERENCE float  // of reference_points
#define GEOLRM_QUERY Half       // of sampling_offsets and attention_logits
#define GEOLRM_WEIGHT Half      // of view_weight and view_bias
#define GEOLRM_OUT Half         // of out
#define GEOLRM_SIDE long long   // of level_shapes
#define GEOLRM_VECTOR 8         // values read at once; divides head_dim
#define GEOLRM_CHUNKS 1         // vectors a thread owns
#endif

namespace geolrm {
#include "arithmetic/tent_taps.h"

using Value = GEOLRM_VALUE;
using Reference = GEOLRM_REFERENCE;
using Query = GEOLRM_QUERY;
using Weight = GEOLRM_WEIGHT;
using Out = GEOLRM_OUT;
using Side = GEOLRM_SIDE;
constexpr int kVector = GEOLRM_VECTOR, kChunks = GEOLRM_CHUNKS;

// V views, N queries, L pixels (sum of H * W over the levels), h heads of e channels, d = h * e,
// S = levels * P samples a head. `piece` of a level's P samples are placed at a time; it divides P.
struct AttentionSizes {
  int views, queries, pixels, heads, head_dim, levels, points, piece;
};

// Of one query, in shared memory: the samples of a piece twice over (one is read while the next is
// written), the softmaxes' constants, and the warps' parts of a view's logit.
struct PlacedSamples {
  int4* at;         // elements from the view's first to the upper left tap, x < 0 for none, to the
                    // upper right and to the lower left one; the bits of the sum of the weights
  float4* weight;   // of the taps, attention included
  float2* softmax;  // [h]: largest logit, inverse of the sum
  float* partial;   // [warps]
};

// An odd pitch spreads the heads' 16-byte words over the banks.
GEOLRM_DEVICE int odd_pitch(int piece) { return piece | 1; }

// kernels.py computes the same size.
GEOLRM_DEVICE PlacedSamples split_shared(unsigned char* memory, const AttentionSizes& s) {
  const int slots = 2 * s.heads * odd_pitch(s.piece), warps = blockDim.x / kWarp;
  const int bytes = 32 * slots + (8 * s.heads + 4 * warps + 15) / 16 * 16;
  memory += bytes * threadIdx.y;
  PlacedSamples r;
  r.at = reinterpret_cast<int4*>(memory);
  r.weight = reinterpret_cast<float4*>(memory + 16 * slots);
  r.softmax = reinterpret_cast<float2*>(memory + 32 * slots);
  r.partial = reinterpret_cast<float*>(r.softmax + s.heads);
  return r;
}

// The largest logit of each head and one over the sum of the exponentials.
GEOLRM_DEVICE void measure_logits(const Query* logits, const AttentionSizes& s, float2* softmax) {
  const int samples = s.levels * s.points;
  for (int head = threadIdx.x; head < s.heads; head += blockDim.x) {
    const Query* row = logits + head * samples;
    float largest = widen(row[0]), total = 0.0f;
    for (int i = 1; i < samples; ++i) largest = max(largest, widen(row[i]));
    for (int i = 0; i < samples; ++i) total += expf(widen(row[i]) - largest);
    softmax[head] = make_float2(largest, 1.0f / total);
  }
}

struct Level {
  int height, width, start, index;
};

// Taps and weights of samples [first, first + piece) of every head at one level of one view.
GEOLRM_DEVICE void place_samples(const Query* offsets, const Query* logits, float u, float v,
                                 const Level& level, int first, const AttentionSizes& s,
                                 const float2* softmax, int4* at, float4* weight) {
  const float width = static_cast<float>(level.width), height = static_cast<float>(level.height);
  const float last_x = max(width - 2.0f, 0.0f), last_y = max(height - 2.0f, 0.0f);
  const float has_x = level.width > 1 ? 1.0f : 0.0f, has_y = level.height > 1 ? 1.0f : 0.0f;
  const int d = s.heads * s.head_dim, pitch = odd_pitch(s.piece), lanes = blockDim.x;
  const int right = level.width > 1 ? d : 0, down = level.height > 1 ? level.width * d : 0;
  const int head_step = lanes / s.piece, point_step = lanes - head_step * s.piece;
  int head = threadIdx.x / s.piece, point = threadIdx.x - head * s.piece;
  while (head < s.heads) {
    const int sample = (head * s.levels + level.index) * s.points + first + point;
    float shift[2];
    load(offsets + 2 * sample, shift);
    const float2 constants = softmax[head];
    const float share = expf(widen(logits[sample]) - constants.x) * constants.y;
    const TentTaps taps = place_taps(u, v, shift[0], shift[1], width, height, last_x, last_y, has_x,
                                     has_y, 0.0f, 0.5f, 1.0f);
    const int pixel =
        level.start + static_cast<int>(taps.row) * level.width + static_cast<int>(taps.column);
    const int slot = head * pitch + point, near = taps.inside ? pixel * d : -1;
    const float upper = share * taps.upper, lower = share * taps.lower;
    const float held = (upper + lower) * (taps.left + taps.right);
    at[slot] = make_int4(near, near + right, near + down, static_cast<int>(__float_as_uint(held)));
    weight[slot] =
        make_float4(upper * taps.left, upper * taps.right, lower * taps.left, lower * taps.right);
    head += head_step;
    point += point_step;
    if (point >= s.piece) {
      point -= s.piece;
      ++head;
    }
  }
}

// Adds the weighted taps of one head's piece to the sums of kVector channels, and to `held` the
// weights of those inside the image.
GEOLRM_DEVICE void gather(const Value* value, const int4* at, const float4* weight, int piece,
                          float (&sums)[kVector], float& held) {
#pragma unroll 2
  for (int i = 0; i < piece; ++i) {
    const int4 tap = at[i];
    if (tap.x < 0) continue;
    const float4 w = weight[i];
    float a[kVector], b[kVector], c[kVector], e[kVector];
    load(value + tap.x, a);
    load(value + tap.y, b);
    load(value + tap.z, c);
    load(value + (tap.y + tap.z - tap.x), e);
    held += __uint_as_float(static_cast<Bits>(tap.w));
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      sums[j] = fmaf(w.w, e[j], fmaf(w.z, c[j], fmaf(w.y, b[j], fmaf(w.x, a[j], sums[j]))));
    }
  }
}

GEOLRM_DEVICE void attend(const Value* value, const Side* level_shapes,
                          const Reference* reference_points, const Query* sampling_offsets,
                          const Query* attention_logits, const Weight* view_weight,
                          const Weight* view_bias, const AttentionSizes& s, const int* order,
                          const float* value_bias, Out* out) {
  GEOLRM_DYNAMIC_SHARED(memory);
  const PlacedSamples placed = split_shared(memory, s);
  const int lanes = blockDim.x, lane = threadIdx.x;
  const int d = s.heads * s.head_dim, per_head = s.head_dim / kVector, chunks = d / kVector;
  const int slots = s.heads * odd_pitch(s.piece);
  // The last block may hold more queries than are left: they repeat the last one, unwritten.
  const int place = blockIdx.x * blockDim.y + threadIdx.y;
  const int listed = place < s.queries ? place : s.queries - 1;
  const int query = order ? order[listed] : listed;
  const Index first_sample = static_cast<Index>(query) * s.heads * s.levels * s.points;
  const Query* offsets = sampling_offsets + 2 * first_sample;
  const Query* logits = attention_logits + first_sample;
  const float bias = widen(*view_bias);

  measure_logits(logits, s, placed.softmax);
  float fused[kChunks][kVector], best = 0.0f, total = 0.0f;
  int side = 0;
  __syncthreads();
  for (int view = 0; view < s.views; ++view) {
    float sums[kChunks][kVector], held[kChunks];
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      held[k] = 0.0f;
#pragma unroll
      for (int j = 0; j < kVector; ++j) sums[k][j] = 0.0f;
    }
    const Value* plane = value + static_cast<Index>(view) * s.pixels * d;
    float uv[2];
    load(reference_points + 2 * (static_cast<Index>(view) * s.queries + query), uv);
    Level level = {0, 0, 0, 0};
    for (; level.index < s.levels; ++level.index) {
      level.start += level.height * level.width;
      level.height = static_cast<int>(level_shapes[2 * level.index]);
      level.width = static_cast<int>(level_shapes[2 * level.index + 1]);
      for (int first = 0; first < s.points; first += s.piece) {
        int4* const at = placed.at + side * slots;
        float4* const weight = placed.weight + side * slots;
        place_samples(offsets, logits, uv[0], uv[1], level, first, s, placed.softmax, at, weight);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kChunks; ++k) {
          const int chunk = lane + k * lanes;
          if (chunk >= chunks) continue;
          const int from = chunk / per_head * odd_pitch(s.piece);
          gather(plane + chunk * kVector, at + from, weight + from, s.piece, sums[k], held[k]);
        }
        side ^= 1;
      }
    }
    float dot = 0.0f;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      const int chunk = lane + k * lanes;
      if (chunk >= chunks) continue;
      if (value_bias) {  // of each tap that is not padding
        float bias_of[kVector];
        load(value_bias + chunk * kVector, bias_of);
#pragma unroll
        for (int j = 0; j < kVector; ++j) sums[k][j] = fmaf(bias_of[j], held[k], sums[k][j]);
      }
      float weight[kVector];
      load(view_weight + chunk * kVector, weight);
#pragma unroll
      for (int j = 0; j < kVector; ++j) dot = fmaf(weight[j], sums[k][j], dot);
    }
    dot = warp_sum(dot);
    if (lane % kWarp == 0) placed.partial[lane / kWarp] = dot;
    __syncthreads();
    float logit = bias;
    for (int warp = 0; warp < lanes / kWarp; ++warp) logit += placed.partial[warp];
    // The softmax over views, online: scaled by the largest logit so far.
    const float largest = view == 0 ? logit : max(best, logit);
    const float keep = view == 0 ? 0.0f : expf(best - largest), add = expf(logit - largest);
    best = largest;
    total = total * keep + add;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        fused[k][j] = view == 0 ? add * sums[k][j] : fmaf(add, sums[k][j], fused[k][j] * keep);
      }
    }
  }
  if (place >= s.queries) return;
  const float scale = 1.0f / total;
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    const int chunk = lane + k * lanes;
    if (chunk >= chunks) continue;
#pragma unroll
    for (int j = 0; j < kVector; ++j) fused[k][j] *= scale;
    store(fused[k], out + static_cast<Index>(query) * d + chunk * kVector);
  }
}

}  // namespace geolrm

// Inputs, integers, output: the order in which a TensorRT ahead-of-time plugin passes them.
// value [V, L, d], level_shapes [levels, 2] (H, W), reference_points [V, N, 2] (u, v),
// sampling_offsets [N, h*levels*P*2] (x, y) in pixels of the level, attention_logits
// [N, h*levels*P], view_weight [d], view_bias [1] -> out [N, d].
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    deformable_cross_attention(const geolrm::Value* __restrict__ value,
                               const geolrm::Side* __restrict__ level_shapes,
                               const geolrm::Reference* __restrict__ reference_points,
                               const geolrm::Query* __restrict__ sampling_offsets,
                               const geolrm::Query* __restrict__ attention_logits,
                               const geolrm::Weight* __restrict__ view_weight,
                               const geolrm::Weight* __restrict__ view_bias, int views, int queries,
                               int pixels, int heads, int head_dim, int levels, int points,
                               int piece, geolrm::Out* __restrict__ out) {
  geolrm::attend(value, level_shapes, reference_points, sampling_offsets, attention_logits,
                 view_weight, view_bias,
                 {views, queries, pixels, heads, head_dim, levels, points, piece}, nullptr, nullptr,
                 out);
}

// The same with the queries in the order of a permutation [N]: neighbours in space side by side
// share the rows they read. The result does not depend on it. And with a bias [d], which is added
// to every value before it is sampled, so that the values need not be written with it. Both may be
// null.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2) deformable_cross_attention_ordered(
    const geolrm::Value* __restrict__ value, const geolrm::Side* __restrict__ level_shapes,
    const geolrm::Reference* __restrict__ reference_points,
    const geolrm::Query* __restrict__ sampling_offsets,
    const geolrm::Query* __restrict__ attention_logits,
    const geolrm::Weight* __restrict__ view_weight, const geolrm::Weight* __restrict__ view_bias,
    const int* __restrict__ order, const float* __restrict__ value_bias, int views, int queries,
    int pixels, int heads, int head_dim, int levels, int points, int piece,
    geolrm::Out* __restrict__ out) {
  geolrm::attend(value, level_shapes, reference_points, sampling_offsets, attention_logits,
                 view_weight, view_bias,
                 {views, queries, pixels, heads, head_dim, levels, points, piece}, order,
                 value_bias, out);
}
