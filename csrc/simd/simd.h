// What every instruction set's vectors share. plain.h, avx2.h, avx512.h and neon.h define the same
// names, each in a namespace of its own: a kernel is compiled in the namespace GEOLRM_ISA, so that
// no inline function compiled for one set is ever linked into the code of another.
//
// Vec: kWidth floats. Mask: one truth value a lane. Tail: the first n lanes (0 < n <= kWidth).
// Loads and stores exist for float and Half, whole and with a Tail. Comparisons with NaN are false.
#pragma once

#include <cstdint>

namespace geolrm {

// IEEE binary16 as stored; arithmetic is float32 everywhere.
struct Half {
  uint16_t bits;
};

// 2^f on [-0.5, 0.5], relative error 2e-7 (minimax fit, but exact at 0).
constexpr float kExp2Poly[] = {1.0f,           0.6931469440f,  0.2402212024f,
                               0.05550713092f, 0.00967554189f, 0.00132764725f};
// log2(e) as a sum of two floats.
constexpr float kLog2EHigh = 1.44269502f;
constexpr float kLog2ELow = 1.92596303e-8f;

}  // namespace geolrm
