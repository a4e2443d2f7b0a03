// Deformable cross-attention over several views (GeoLRM, section 3.3), fused: sampling of all
// levels, softmax over samples, softmax over views. The node of the exported graphs, as it is.
//
// A block holds blockDim.y queries, each on blockDim.x threads (whole warps) that share its
// channels: a thread owns kChunks times kVector neighbours of one head and keeps their running
// fusion over the views in registers, so nothing of [V, N, d] is ever stored. Views are visited in
// the same order by all blocks: the rows they read meet in the L2 cache, those of a block's queries
// in L1.
//
// A thread places samples of the next step (a view's level, or a piece of its samples) after it has
// blended those of this one; one barrier of the query's threads lies between steps.
#include "cuda/device.cuh"
#include "cuda/pairs.cuh"

#ifndef GEOLRM_VALUE
#define GEOLRM_VALUE Half                // storage of value
#define GEOLRM_REFERENCE float           // of reference_points
#define GEOLRM_QUERY Half                // of sampling_offsets and attention_logits
#define GEOLRM_WEIGHT Half               // of view_weight and view_bias
#define GEOLRM_OUT Half                  // of out
#define GEOLRM_SIDE long long            // of level_shapes
#define GEOLRM_VECTOR 8                  // values read at once; divides head_dim
#define GEOLRM_CHUNKS 1                  // vectors a thread owns
#define GEOLRM_GEOMETRY 16, 48, 2, 8, 8  // h, e, levels, P, piece; or zeros: they come as arguments
#endif

namespace geolrm {
// Of numbers that are no NaN: one instruction each.
namespace numbers {
GEOLRM_DEVICE float min(float a, float b) { return fminf(a, b); }
GEOLRM_DEVICE float max(float a, float b) { return fmaxf(a, b); }
#include "arithmetic/tent_taps.h"
}  // namespace numbers

using Value = GEOLRM_VALUE;
using Reference = GEOLRM_REFERENCE;
using Query = GEOLRM_QUERY;
using Weight = GEOLRM_WEIGHT;
using Out = GEOLRM_OUT;
using Side = GEOLRM_SIDE;
constexpr int kVector = GEOLRM_VECTOR, kChunks = GEOLRM_CHUNKS;

// Pairs of 16 bits are blended as pairs; single ones, and floats, in float32.
constexpr bool kPaired = sizeof(Value) == 2 && kVector % 2 == 0;

// Samples whose taps are loaded before those of the first are blended, as far as registers go.
#if defined(__CUDACC__) && __CUDA_ARCH__ < 800
constexpr int kAhead = 2;
#elif defined(__CUDACC__) && __CUDA_ARCH__ < 900
constexpr int kAhead = kPaired ? 4 : 2;
#else
constexpr int kAhead = kPaired ? 8 : 2;
#endif

// V views, N queries, L pixels (sum of H * W over the levels), h heads of e channels, d = h * e,
// S = levels * P samples a head. `piece` of a level's P samples are placed at a time; it divides P.
struct AttentionSizes {
  int views, queries, pixels, heads, head_dim, levels, points, piece;
};

// What is known when this is compiled, as kernels.py chooses it; without it, the arguments.
constexpr AttentionSizes kFixed = {0, 0, 0, GEOLRM_GEOMETRY};
constexpr bool kIsFixed = kFixed.heads > 0;
constexpr int kFixedVectors = kFixed.heads * kFixed.head_dim / kVector;
GEOLRM_DEVICE AttentionSizes fixed(const AttentionSizes& s) {
  if (!kIsFixed) return s;
  AttentionSizes r = kFixed;
  r.views = s.views;
  r.queries = s.queries;
  r.pixels = s.pixels;
  return r;
}
GEOLRM_DEVICE int lane_count() {
  constexpr int kWhole = (kFixedVectors + kWarp - 1) / kWarp * kWarp;
  return kIsFixed ? (kWhole < 256 ? kWhole : 256) : static_cast<int>(blockDim.x);
}

// Of one query, in shared memory: the samples of a piece twice over (one is read while the next is
// written), the softmaxes' constants, and the warps' parts of a view's logit.
struct PlacedSamples {
  int4* taps;   // bits of the weights of the four taps, attention included; where pairs are blended
                // pixel of the upper left tap, the upper and the lower two weights, attention
  float* held;  // sum of the weights
  int* pixel;   // of the upper left tap, where it is not in taps
  float2* softmax;  // [h]: largest logit, inverse of the sum
  float* partial;   // [warps]
};

// An odd pitch spreads the heads' 16-byte words over the banks.
GEOLRM_DEVICE int odd_pitch(int piece) { return piece | 1; }

// kernels.py computes the same size.
GEOLRM_DEVICE PlacedSamples split_shared(unsigned char* memory, const AttentionSizes& s) {
  constexpr int kSlotBytes = kPaired ? 20 : 24;
  const int slots = 2 * s.heads * odd_pitch(s.piece), warps = lane_count() / kWarp;
  const int bytes = (kSlotBytes * slots + 8 * s.heads + 4 * warps + 15) / 16 * 16;
  memory += bytes * threadIdx.y;
  PlacedSamples r;
  r.taps = reinterpret_cast<int4*>(memory);
  r.held = reinterpret_cast<float*>(memory + 16 * slots);
  r.pixel = reinterpret_cast<int*>(memory + 20 * slots);
  r.softmax = reinterpret_cast<float2*>(memory + kSlotBytes * slots);
  r.partial = reinterpret_cast<float*>(r.softmax + s.heads);
  return r;
}

// The largest logit of each head and one over the sum of the exponentials.
GEOLRM_DEVICE void measure_logits(const Query* logits, const AttentionSizes& s, float2* softmax) {
  const int samples = s.levels * s.points;
  for (int head = threadIdx.x; head < s.heads; head += lane_count()) {
    const Query* row = logits + head * samples;
    float largest = widen(row[0]), total = 0.0f;
#pragma unroll 1
    for (int i = 1; i < samples; ++i) largest = max(largest, widen(row[i]));
#pragma unroll 1
    for (int i = 0; i < samples; ++i) total += exponential(widen(row[i]) - largest);
    softmax[head] = make_float2(largest, 1.0f / total);
  }
}

// Samples [first, first + piece) of every head at one level of one view.
struct Step {
  int view, level, height, width, start, first;
};

GEOLRM_DEVICE void read_level(const Side* level_shapes, Step& step) {
  step.height = static_cast<int>(level_shapes[2 * step.level]);
  step.width = static_cast<int>(level_shapes[2 * step.level + 1]);
}

GEOLRM_DEVICE Step first_step(const Side* level_shapes) {
  Step step = {0, 0, 0, 0, 0, 0};
  read_level(level_shapes, step);
  return step;
}

// Levels within views, pieces within levels.
GEOLRM_DEVICE Step next_step(const Side* level_shapes, const AttentionSizes& s, Step step) {
  step.first += s.piece;
  if (step.first < s.points) return step;
  step.first = 0;
  step.start += step.height * step.width;
  if (++step.level == s.levels) {
    ++step.view;
    step.level = step.start = 0;
  }
  read_level(level_shapes, step);
  return step;
}

// Where a thread begins in the samples of a step, [heads, piece], and how far it goes on.
struct Turn {
  int head, point, head_step, point_step;
};

GEOLRM_DEVICE Turn first_turn(const AttentionSizes& s) {
  const int lane = threadIdx.x, lanes = lane_count();
  return {lane / s.piece, lane % s.piece, lanes / s.piece, lanes % s.piece};
}

// Taps and weights of a step's samples, at `uv` and beside it. Returns whether this thread placed
// one inside the image; the others get weights of zero, at the level's first pixel.
template <class T = Value>
GEOLRM_DEVICE bool place_samples(const Query* offsets, const Query* logits, const float (&uv)[2],
                                 const Step& step, Turn turn, const AttentionSizes& s,
                                 const PlacedSamples& placed, int side) {
  const float width = static_cast<float>(step.width), height = static_cast<float>(step.height);
  const float last_x = fmaxf(width - 2.0f, 0.0f), last_y = fmaxf(height - 2.0f, 0.0f);
  const float has_x = step.width > 1 ? 1.0f : 0.0f, has_y = step.height > 1 ? 1.0f : 0.0f;
  const int pitch = odd_pitch(s.piece), first = step.level * s.points + step.first;
  Bits any = 0;
#pragma unroll 1
  while (turn.head < s.heads) {
    const int sample = turn.head * s.levels * s.points + first + turn.point;
    float shift[2], logit[1];
    load_constant(advance(offsets, sample, 2 * sizeof(Query)), shift);
    load_constant(advance(logits, sample, sizeof(Query)), logit);
    const float2 constants = placed.softmax[turn.head];
    const float attention = exponential(logit[0] - constants.x) * constants.y;
    const auto taps = numbers::place_taps(uv[0], uv[1], shift[0], shift[1], width, height, last_x,
                                          last_y, has_x, has_y, 0.0f, 0.5f, 1.0f);
    int pixel =
        step.start + static_cast<int>(taps.row) * step.width + static_cast<int>(taps.column);
    float left = taps.left, right = taps.right;
    if (step.width == 1 && pixel > 0) {  // the pair before it, which lies in the array for certain
      --pixel;
      right = left;
      left = 0.0f;
    }
    const float share = taps.inside ? attention : 0.0f;
    const int slot = side + turn.head * pitch + turn.point;
    any |= taps.inside ? 1 : 0;
    if constexpr (kPaired) {
      const Bits upper = pack(T{}, taps.upper * left, taps.upper * right);
      const Bits lower = pack(T{}, taps.lower * left, taps.lower * right);
      placed.taps[slot] = make_int4(pixel, upper, lower, __float_as_uint(share));
    } else {
      const float upper = share * taps.upper, lower = share * taps.lower;
      placed.taps[slot] = make_int4(__float_as_uint(upper * left), __float_as_uint(upper * right),
                                    __float_as_uint(lower * left), __float_as_uint(lower * right));
      placed.pixel[slot] = pixel;
    }
    placed.held[slot] = share * ((taps.upper + taps.lower) * (left + right));
    turn.head += turn.head_step;
    turn.point += turn.point_step;
    if (turn.point >= s.piece) {
      turn.point -= s.piece;
      ++turn.head;
    }
  }
  return any != 0;
}

// Adds the weighted taps of one head's piece to the sums of kVector channels, and to `held` the
// weights of those inside the image. The head's first sample is at `slot`, `plane` at this thread's
// channels of the view's first pixel; a pixel has d channels, and `down` lead to the one below.
template <class T>
GEOLRM_DEVICE void gather(const T* plane, Bits d, Bits down, const PlacedSamples& placed, int slot,
                          int piece, float (&sums)[kVector], float& held) {
#pragma unroll kAhead
  for (int i = 0; i < piece; ++i) {
    const int4 tap = placed.taps[slot + i];
    const Bits pixel = static_cast<Bits>(kPaired ? tap.x : placed.pixel[slot + i]);
    const T* const upper_row = advance(plane, pixel, d * sizeof(T));
    const T* const lower_row = upper_row + down;
    const auto a = fetch<T, kVector>(upper_row), b = fetch<T, kVector>(upper_row + d);
    const auto c = fetch<T, kVector>(lower_row), e = fetch<T, kVector>(lower_row + d);
    held += placed.held[slot + i];
    if constexpr (kPaired) {
      const Bits upper = static_cast<Bits>(tap.y), lower = static_cast<Bits>(tap.z);
      const float share = __uint_as_float(static_cast<Bits>(tap.w));
#pragma unroll
      for (int j = 0; j < kVector; j += 2) {
        Bits blend = multiply(T{}, twice(upper, 0), a.word[j / 2]);
        blend = multiply_add(T{}, twice(upper, 1), b.word[j / 2], blend);
        blend = multiply_add(T{}, twice(lower, 0), c.word[j / 2], blend);
        blend = multiply_add(T{}, twice(lower, 1), e.word[j / 2], blend);
        sums[j] = fmaf(share, widen_one(T{}, blend, 0), sums[j]);
        sums[j + 1] = fmaf(share, widen_one(T{}, blend, 1), sums[j + 1]);
      }
    } else {
      const float upper_left = __uint_as_float(static_cast<Bits>(tap.x));
      const float upper_right = __uint_as_float(static_cast<Bits>(tap.y));
      const float lower_left = __uint_as_float(static_cast<Bits>(tap.z));
      const float lower_right = __uint_as_float(static_cast<Bits>(tap.w));
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        float sum = fmaf(upper_left, widen_at(a.word, j, T{}), sums[j]);
        sum = fmaf(upper_right, widen_at(b.word, j, T{}), sum);
        sum = fmaf(lower_left, widen_at(c.word, j, T{}), sum);
        sums[j] = fmaf(lower_right, widen_at(e.word, j, T{}), sum);
      }
    }
  }
}

GEOLRM_DEVICE void attend(const Value* value, const Side* level_shapes,
                          const Reference* reference_points, const Query* sampling_offsets,
                          const Query* attention_logits, const Weight* view_weight,
                          const Weight* view_bias, const AttentionSizes& sizes, const int* order,
                          const float* value_bias, Out* out) {
  GEOLRM_DYNAMIC_SHARED(memory);
  const AttentionSizes s = fixed(sizes);
  const PlacedSamples placed = split_shared(memory, s);
  const int lanes = lane_count(), lane = threadIdx.x;
  const int d = s.heads * s.head_dim;
  const int per_head = s.head_dim / kVector, chunks = d / kVector;
  const int slots = s.heads * odd_pitch(s.piece);
  // The last block may hold more queries than are left: they repeat the last one, unwritten.
  const int place = blockIdx.x * blockDim.y + threadIdx.y;
  const int listed = place < s.queries ? place : s.queries - 1;
  const int query = order ? order[listed] : listed;
  const Index first_sample = static_cast<Index>(query) * s.heads * s.levels * s.points;
  const Query* offsets = sampling_offsets + 2 * first_sample;
  const Query* logits = attention_logits + first_sample;

  // What a view's logit has of the bias, times the weight inside the image of the chunk's head.
  float fused[kChunks][kVector], fused_held[kChunks], bias_dot[kChunks];
  float best = 0.0f, total = 0.0f;
  int first_slot[kChunks];
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    first_slot[k] = (lane + k * lanes) / per_head * odd_pitch(s.piece);
    fused_held[k] = bias_dot[k] = 0.0f;
#pragma unroll
    for (int j = 0; j < kVector; ++j) fused[k][j] = 0.0f;
    const int chunk = lane + k * lanes;
    if (chunk >= chunks || !value_bias) continue;
    float bias_of[kVector], weight[kVector];
    load(value_bias + chunk * kVector, bias_of);
    load(view_weight + chunk * kVector, weight);
#pragma unroll
    for (int j = 0; j < kVector; ++j) bias_dot[k] = fmaf(weight[j], bias_of[j], bias_dot[k]);
  }

  measure_logits(logits, s, placed.softmax);
  meet_row(false, lanes);
  Step step = first_step(level_shapes);
  const Turn turn = first_turn(s);
  int side = 0;
  float uv[2];
  load(reference_points + 2 * static_cast<Index>(query), uv);
  bool seen = meet_row(place_samples(offsets, logits, uv, step, turn, s, placed, side), lanes);
#pragma unroll 1
  for (int view = 0; view < s.views; ++view) {
    float sums[kChunks][kVector], held[kChunks];
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      held[k] = 0.0f;
#pragma unroll
      for (int j = 0; j < kVector; ++j) sums[k][j] = 0.0f;
    }
    const Value* plane = value + static_cast<Index>(view) * s.pixels * d;
    float logit = 0.0f;
#pragma unroll 1
    while (step.view == view) {
      if (seen) {
        const Bits down = step.height > 1 ? static_cast<Bits>(step.width * d) : 0;
#pragma unroll
        for (int k = 0; k < kChunks; ++k) {
          const int chunk = lane + k * lanes;
          if (chunk >= chunks) continue;
          gather(plane + chunk * kVector, d, down, placed, side + first_slot[k], s.piece, sums[k],
                 held[k]);
        }
      }
      step = next_step(level_shapes, s, step);
      if (step.view != view) {
        float dot = 0.0f;
#pragma unroll
        for (int k = 0; k < kChunks; ++k) {
          const int chunk = lane + k * lanes;
          if (chunk >= chunks) continue;
          float weight[kVector];
          load(view_weight + chunk * kVector, weight);
          dot = fmaf(bias_dot[k], held[k], dot);
#pragma unroll
          for (int j = 0; j < kVector; ++j) dot = fmaf(weight[j], sums[k][j], dot);
        }
        dot = warp_sum(dot);
        if (lane % kWarp == 0) placed.partial[lane / kWarp] = dot;
        if (step.view < s.views) {
          load(reference_points + 2 * (static_cast<Index>(step.view) * s.queries + query), uv);
        }
      }
      side = slots - side;
      const bool more = step.view < s.views;
      seen =
          meet_row(more && place_samples(offsets, logits, uv, step, turn, s, placed, side), lanes);
    }
    logit = widen(*view_bias);
    for (int warp = 0; warp < lanes / kWarp; ++warp) logit += placed.partial[warp];
    // Queries side by side stay at the same view, so that one reads what another has just read.
    __syncthreads();
    // The softmax over views, online: scaled by the largest logit so far.
    const float largest = view == 0 ? logit : max(best, logit);
    const float keep = view == 0 ? 0.0f : exponential(best - largest),
                add = exponential(logit - largest);
    best = largest;
    total = total * keep + add;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      fused_held[k] = fmaf(add, held[k], fused_held[k] * keep);
#pragma unroll
      for (int j = 0; j < kVector; ++j) fused[k][j] = fmaf(add, sums[k][j], fused[k][j] * keep);
    }
  }
  if (place >= s.queries) return;
  const float scale = 1.0f / total;
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    const int chunk = lane + k * lanes;
    if (chunk >= chunks) continue;
    float bias_of[kVector];
    if (value_bias) load(value_bias + chunk * kVector, bias_of);
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      if (value_bias) fused[k][j] = fmaf(bias_of[j], fused_held[k], fused[k][j]);
      fused[k][j] *= scale;
    }
    store(fused[k], out + static_cast<Index>(query) * d + chunk * kVector);
  }
}

}  // namespace geolrm

// Inputs, integers, output: the order in which a TensorRT ahead-of-time plugin passes them.
// value [V, L, d], level_shapes [levels, 2] (H, W), reference_points [V, N, 2] (u, v),
// sampling_offsets [N, h*levels*P*2] (x, y) in pixels of the level, attention_logits
// [N, h*levels*P], view_weight [d], view_bias [1], order [N] -> out [N, d]. Order is a permutation
// of the queries, or null: neighbours in space side by side share the rows they read. The result
// does not depend on it.
GEOLRM_KERNEL GEOLRM_BOUNDS(GEOLRM_CHUNKS == 1 ? 768 : 256, 1) deformable_cross_attention(
    const geolrm::Value* __restrict__ value, const geolrm::Side* __restrict__ level_shapes,
    const geolrm::Reference* __restrict__ reference_points,
    const geolrm::Query* __restrict__ sampling_offsets,
    const geolrm::Query* __restrict__ attention_logits,
    const geolrm::Weight* __restrict__ view_weight, const geolrm::Weight* __restrict__ view_bias,
    const int* __restrict__ order, int views, int queries, int pixels, int heads, int head_dim,
    int levels, int points, int piece, geolrm::Out* __restrict__ out) {
  geolrm::attend(value, level_shapes, reference_points, sampling_offsets, attention_logits,
                 view_weight, view_bias,
                 {views, queries, pixels, heads, head_dim, levels, points, piece}, order, nullptr,
                 out);
}

// The same with a bias [d], which is added to every value before it is sampled, so that the values
// need not be written with it.
GEOLRM_KERNEL GEOLRM_BOUNDS(GEOLRM_CHUNKS == 1 ? 768 : 256, 1) deformable_cross_attention_biased(
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
