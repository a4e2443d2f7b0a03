// The sixteen pixels of a block as lanes; included after the vectors.
#pragma once

#include <cstdint>

#include "simd/vec16.h"

#define GEOLRM_INLINE __attribute__((always_inline)) inline
#define GEOLRM_NOINLINE __attribute__((noinline))

namespace geolrm::raster::GEOLRM_ISA {
namespace {

using namespace geolrm::GEOLRM_ISA;

constexpr int kLanes = 16;

inline int lowest_bit(uint64_t bits) { return __builtin_ctzll(bits); }

inline int count_bits(uint64_t bits) {
  int count = 0;
  for (; bits; bits &= bits - 1) ++count;
  return count;
}

// 2^x for x in [-126, 1]; anything else gives garbage but no trap. Relative error 1e-7.
inline Vec16 exp2_near_one(const Vec16& x) {
  // 1.5 * 2^23: adding it rounds a small float to an integer. Needs strict floating point: under
  // -ffast-math the compiler folds (x + magic) - magic away.
  const Vec16 magic = set16(12582912.0f);
  const Vec16 shifted = x + magic;
  const Vec16 f = x - (shifted - magic);  // in [-0.5, 0.5]
  Vec16 p = fma(f, set16(0x1.5b7622p-10f), set16(0x1.3cee9cp-7f));
  p = fma(f, p, set16(0x1.c6b848p-5f));
  p = fma(f, p, set16(0x1.ebf9aep-3f));
  p = fma(f, p, set16(0x1.62e428p-1f));
  p = fma(f, p, set16(1.0f));
  return scale_by_power(p, shifted);
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
