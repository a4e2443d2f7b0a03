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
// Queries sampled together, one (view, head) plane at a time: many enough to reuse a plane's lines,
// few enough that their sums stay in cache. Few queries lie far apart and share less, so that
// larger chunks pay for them.
constexpr int64_t kChunkQueries = 512, kSparseChunkQueries = 1024;
constexpr int64_t kSparseQueries = 8192;

struct CrossAttentionCall {
  DeformableCrossAttention op;
  SampleLanes lanes;
  int64_t samples, padded_samples;  // S, and S rounded up to kLaneMultiple
  bool narrow;                      // some level is one pixel wide
};

// Scratch of one worker.
struct CrossAttentionScratch {
  float* attention;   // [count, h, padded S]
  float* sums;        // [count, d]: one view's o
  float* largest;     // [count]: largest view logit so far
  float* normaliser;  // [count]
  int32_t* sequence;  // [count]
  int32_t* bins;      // [kSequenceBins + 1]
};

constexpr int kSequenceBins = 4096;

struct DeformableCrossAttentionKernel {
  // Computes out for the queries order[0 .. count).
  void (*attend)(const CrossAttentionCall& call, const int32_t* order, int64_t count,
                 const CrossAttentionScratch& scratch);
  // Sets base[v * stride + p] for the upper left tap p of every sample of queries [begin, end)
  // inside its image; base[v * stride + L] takes the others.
  void (*mark)(const CrossAttentionCall& call, int64_t begin, int64_t end, uint8_t* base,
               int64_t stride);

  static const DeformableCrossAttentionKernel plain, avx2, avx512, neon;
};

}  // namespace geolrm
