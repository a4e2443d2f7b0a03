// What the instruction sets' sampling kernels are given, and how they are chosen.
#pragma once

#include "cpu_features.h"
#include "deformable_cross_attention/deformable_cross_attention.h"

namespace geolrm {

// Per sample of a head (level-major), each array padded to a multiple of kLaneMultiple. A padded
// lane has width -1, so that no sample in it is ever inside.
struct SampleLanes {
  const float* width;   // W of the level
  const float* height;  // H
  const float* last_x;  // max(W - 2, 0): the largest left column of a pair of taps
  const float* last_y;  // max(H - 2, 0)
  const float* has_x;   // 1 where W > 1, else 0: there is a right column at all
  const float* has_y;   // 1 where H > 1
  const float* start;   // first pixel of the level
  const float* down;    // pixels from a tap to the one below: W, or 0 where H is 1
};

constexpr int kLaneMultiple = 16;
constexpr int kLaneArrays = 8;
// Tokens sampled together, one (view, head) plane at a time: many enough to reuse a plane's lines,
// few enough that their sums stay in cache. Few tokens lie far apart and share less, so that larger
// chunks pay for them.
constexpr int64_t kChunkTokens = 512, kSparseChunkTokens = 1024;
constexpr int64_t kSparseTokens = 8192;
// Pixel indices are computed in float32, exact below this.
constexpr int64_t kMaxPixels = int64_t{1} << 24;

struct SamplingCall {
  DeformableAttention op;
  SampleLanes lanes;
  int64_t samples, padded_samples;  // S, and S rounded up to kLaneMultiple
  bool narrow;                      // some level is one pixel wide
};

// Scratch of one worker.
struct SamplingScratch {
  float* attention;   // [count, h, padded S]
  float* sums;        // [count, d]: one view's o
  float* largest;     // [count]: largest view logit so far
  float* normaliser;  // [count]
  int32_t* sequence;  // [count]
  int32_t* bins;      // [kSequenceBins + 1]
};

constexpr int kSequenceBins = 4096;

struct SamplingKernel {
  // Computes out for the tokens order[0 .. count).
  void (*attend)(const SamplingCall& call, const int32_t* order, int64_t count,
                 const SamplingScratch& scratch);
  // Sets base[v * stride + p] for the upper left tap p of every sample of tokens [begin, end)
  // inside its image; base[v * stride + L] takes the others.
  void (*mark)(const SamplingCall& call, int64_t begin, int64_t end, uint8_t* base, int64_t stride);
};

namespace plain {
extern const SamplingKernel kSampling;
}
namespace avx2 {
extern const SamplingKernel kSampling;
}
namespace avx512 {
extern const SamplingKernel kSampling;
}

}  // namespace geolrm
