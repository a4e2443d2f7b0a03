// Two neighbours of 16 bits in one register, and their arithmetic: each operation rounds once.
#pragma once

#include "cuda/device.cuh"

namespace geolrm {

// Element 0 or 1 of a pair.
template <class T>
GEOLRM_DEVICE float widen_one(T, Bits pair, int which) {
  return widen(T{static_cast<unsigned short>(which ? pair >> 16 : pair & 0xFFFFu)});
}

// In float32: products of 16 bits are exact there; that a sum is rounded once more matters at ties.
template <class T>
GEOLRM_DEVICE Bits pack(T, float first, float second) {
  T low, high;
  narrow(first, low);
  narrow(second, high);
  return low.bits | static_cast<Bits>(high.bits) << 16;
}
template <class T>
GEOLRM_DEVICE Bits multiply(T type, Bits a, Bits b) {
  return pack(type, widen_one(type, a, 0) * widen_one(type, b, 0),
              widen_one(type, a, 1) * widen_one(type, b, 1));
}
template <class T>
GEOLRM_DEVICE Bits multiply_add(T type, Bits a, Bits b, Bits c) {
  return pack(type, fmaf(widen_one(type, a, 0), widen_one(type, b, 0), widen_one(type, c, 0)),
              fmaf(widen_one(type, a, 1), widen_one(type, b, 1), widen_one(type, c, 1)));
}

// One instruction each, where a GPU has it.
#ifdef __CUDACC__
GEOLRM_DEVICE Bits multiply(Half, Bits a, Bits b) {
  Bits r;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}
GEOLRM_DEVICE Bits multiply_add(Half, Bits a, Bits b, Bits c) {
  Bits r;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}
#if __CUDA_ARCH__ >= 800
GEOLRM_DEVICE Bits pack(Half, float first, float second) {
  Bits r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(second), "f"(first));
  return r;
}
GEOLRM_DEVICE Bits pack(BFloat16, float first, float second) {
  Bits r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(second), "f"(first));
  return r;
}
GEOLRM_DEVICE Bits multiply_add(BFloat16, Bits a, Bits b, Bits c) {
  Bits r;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}
GEOLRM_DEVICE Bits multiply(BFloat16, Bits a, Bits b) {
  return multiply_add(BFloat16{}, a, b, 0x80008000u);  // -0, which leaves a product as it is
}
#endif
#endif

// Element 0 or 1 twice. A move of halves becomes part of the instruction that reads it.
GEOLRM_DEVICE Bits twice(Bits pair, int which) {
#ifdef __CUDACC__
  Bits r;
  if (which) {
    asm("{ .reg .b16 low, high; mov.b32 {low, high}, %1; mov.b32 %0, {high, high}; }"
        : "=r"(r)
        : "r"(pair));
  } else {
    asm("{ .reg .b16 low, high; mov.b32 {low, high}, %1; mov.b32 %0, {low, low}; }"
        : "=r"(r)
        : "r"(pair));
  }
  return r;
#else
  const Bits one = which ? pair >> 16 : pair & 0xFFFFu;
  return one | one << 16;
#endif
}

}  // namespace geolrm
