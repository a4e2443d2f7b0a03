// What the instruction sets' projection kernels are given, and how they are chosen.
#pragma once

#include <cstdint>

#include "simd/simd.h"

namespace geolrm {

// A block of rows times all panels of columns.
struct ProjectionBlock {
  const float* const* rows;  // [count] feature rows of C
  const int64_t* places;     // [count]: v * h * L + l, the row of head 0 in out
  int64_t count;             // at most kBlockRows
  int64_t channels, heads, head_dim, pixels;
  const float* panels;  // [panels, C, columns]
  const float* bias;    // [panels, columns]
  float* packed;        // scratch: kBlockRows * C
  float* out;           // [V, h, L, e], or null
  Half* out_half;       // the same in float16, or null
};

constexpr int64_t kBlockRows = 144;

struct ValueProjectionKernel {
  int64_t columns;  // of a panel
  void (*run)(const ProjectionBlock& block);

  static const ValueProjectionKernel plain, avx2, avx512, neon;
};

}  // namespace geolrm
